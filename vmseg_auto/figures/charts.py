"""Charts: axes, bands, lines and dots, and where each comes to lie.

A chart is described once. A page draws it as SVG, in the units of a drawing 640 wide and in its own colours, and
`figures/plots.py` as a PNG. Both have the same kinds: first, second, third, forecast, limit and bar of lines, with thin
as a second word; gap and agreement of bands; first, reference and odd of dots.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from vmseg_auto.utils.text import minus_signs

WIDTH = 640.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 70.0, 14.0, 14.0, 52.0
_MOST_TICKS = 8
_SCALES = {"linear": float, "log": math.log10, "asinh": math.asinh}
_STEPS = (1.0, 2.0, 5.0, 10.0)

_TITLE, _LETTER = 38.0, 12.0
"""Room of an axis' title, and of a letter of its ticks as wide as on a phone."""

Point = tuple[float, float]
Scale = Literal["linear", "log", "asinh"]
"""The last is linear below 1 and logarithmic beyond, so that it holds 0."""


@dataclass(frozen=True)
class Axis:
    """Values along one side.

    Args:
        title: with the unit.
        low, high: ends; above 0 where it is logarithmic.
        scale: how values are laid out.
        whole: whether values are counts, so that ticks are whole numbers.
    """

    title: str
    low: float
    high: float
    scale: Scale = "linear"
    whole: bool = False

    def share(self, value: float) -> float:
        """Return how far along the axis a value lies; 0 is its lower end and 1 its upper one.

        >>> Axis("volume (mL)", 1.0, 100.0, "log").share(10.0)
        0.5
        """
        low, high, value = map(_SCALES[self.scale], (self.low, self.high, value))
        return (value - low) / (high - low)

    def ticks(self) -> list[tuple[float, str]]:
        """Round values and what to write beside them."""
        if self.scale == "log":
            values = _decades(self.low, self.high)
        elif self.scale == "asinh" and self.high > 2:
            values = [0.0, *_decades(1.0, self.high)]
        else:
            values = _round_values(self.low, self.high)
        if self.whole:
            values = [value for value in values if value.is_integer()]
        return [(value, minus_signs(f"{value:,.10g}")) for value in values]


@dataclass(frozen=True)
class Dot:
    """A case; `words` appear over it on a page."""

    x: float
    y: float
    kind: str
    words: str = ""


@dataclass(frozen=True)
class Line:
    """A line through points; values that are not finite are left out."""

    points: tuple[Point, ...]
    kind: str


@dataclass(frozen=True)
class Band:
    """The area between two lines over the same x."""

    points: tuple[tuple[float, float, float], ...]
    kind: str


@dataclass(frozen=True)
class Mark:
    """What is drawn.

    Args:
        kind: "band", "line" or "dot", and its kind.
        points: how far along x and y each lies; a band's go around it, a dot has one.
        words: appear over it on a page.
    """

    kind: str
    points: tuple[Point, ...]
    words: str = ""


@dataclass(frozen=True)
class Chart:
    """A chart.

    Args:
        title: a short sentence.
        words: what it shows, for those who don't see it.
        x, y: axes.
        bands, lines, dots: from back to front.
        legend: what is drawn, with its kind ("line first") -> what it stands for.
        height: of the drawing.
    """

    title: str
    words: str
    x: Axis
    y: Axis
    bands: tuple[Band, ...] = ()
    lines: tuple[Line, ...] = ()
    dots: tuple[Dot, ...] = ()
    legend: dict[str, str] = field(default_factory=dict)
    height: float = 300.0

    @property
    def width(self) -> float:
        return WIDTH

    @property
    def frame(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of the area within the axes."""
        longest = max((len(text) for _, text in self.y.ticks()), default=0)
        return max(_LEFT, _TITLE + _LETTER * longest), _TOP, WIDTH - _RIGHT, self.height - _BOTTOM

    @property
    def columns(self) -> list[tuple[float, str]]:
        """Ticks of x: where on a page, and what is written."""
        return [(self.place((self.x.share(value), 0))[0], text) for value, text in self.x.ticks()]

    @property
    def rows(self) -> list[tuple[float, str]]:
        """Ticks of y."""
        return [(self.place((0, self.y.share(value)))[1], text) for value, text in self.y.ticks()]

    @property
    def marks(self) -> list[Mark]:
        """Everything drawn, from back to front, without values that are not finite; a line of one point is a dot."""
        marks = []
        for band in self.bands:
            there = self._shares((x, low) for x, low, high in band.points if math.isfinite(high))
            back = self._shares((x, high) for x, low, high in reversed(band.points) if math.isfinite(low))
            marks.append(Mark(f"band {band.kind}", there + back))
        for line in self.lines:
            points = self._shares(line.points)
            marks.append(Mark(f"{'dot' if len(points) == 1 else 'line'} {line.kind}", points))
        marks += [Mark(f"dot {dot.kind}", self._shares([(dot.x, dot.y)]), dot.words) for dot in self.dots]
        return [mark for mark in marks if mark.points]

    def place(self, shares: Point) -> Point:
        """Return where on a page a point lies, of which is known how far along x and y it lies."""
        left, top, right, bottom = self.frame
        return round(left + shares[0] * (right - left), 1), round(bottom - shares[1] * (bottom - top), 1)

    def path(self, mark: Mark) -> str:
        """Return the SVG path of a line or band."""
        path = "L".join(f"{x:g} {y:g}" for x, y in map(self.place, mark.points))
        return f"M{path}{'Z' if mark.kind.startswith('band') else ''}"

    def _shares(self, points: Iterable[Point]) -> tuple[Point, ...]:
        """Return how far along x and y points lie; never far beyond the ends."""
        known = [point for point in points if all(map(math.isfinite, point))]
        return tuple((_near_ends(self.x.share(x)), _near_ends(self.y.share(y))) for x, y in known)


def _near_ends(share: float) -> float:
    return min(1.02, max(-0.02, share))


def axis_of(title: str, values: Sequence[float], log: bool = False, whole: bool = False) -> Axis:
    """Return an axis that holds all of the values that are finite, with room at its ends."""
    known = [value for value in values if math.isfinite(value) and (value > 0 or not log)] or [1.0]
    low, high = min(known), max(known)
    if log:
        return Axis(title, low / 1.3, high * 1.3, "log")
    room = 0.05 * ((high - low) or abs(high) or 1.0) if not whole or high > low else 0.5
    return Axis(title, low - room, high + room, whole=whole)


def _round_values(low: float, high: float, wanted: int = 6) -> list[float]:
    size = 10.0 ** math.floor(math.log10((high - low) / wanted))
    step = next(size * factor for factor in _STEPS if (high - low) / (size * factor) <= wanted)
    return [round(n * step, 12) + 0.0 for n in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _decades(low: float, high: float) -> list[float]:
    """Return powers of ten, and twice and five times them where they are few."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), tuple(map(float, range(1, 10)))):
        found = [10.0**power * factor for power in powers for factor in factors if low <= 10.0**power * factor <= high]
        if len(found) >= 4:
            break
    return found[:: -(-len(found) // _MOST_TICKS)]

"""Charts for a page: where each mark comes to lie, in the units of a drawing 640 wide. How they look is the page's."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

WIDTH = 640.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 70.0, 14.0, 14.0, 52.0
_MOST_TICKS = 8
_STEPS = (1.0, 2.0, 5.0, 10.0)

_TITLE, _LETTER = 38.0, 12.0
"""Room of an axis' title, and of a letter of its ticks as wide as on a phone."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Axis:
    """Values along one side.

    Args:
        title: with the unit.
        low, high: ends; above 0 where it is logarithmic.
        log: whether it is.
        whole: whether values are counts, so that ticks are whole numbers.
    """

    title: str
    low: float
    high: float
    log: bool = False
    whole: bool = False

    def share(self, value: float) -> float:
        """Return how far along the axis a value lies; 0 is its lower end and 1 its upper one.

        >>> Axis("volume (mL)", 1.0, 100.0, log=True).share(10.0)
        0.5
        """
        low, high, value = (math.log10(v) if self.log else v for v in (self.low, self.high, value))
        return (value - low) / (high - low)

    def ticks(self) -> list[tuple[float, str]]:
        """Round values and what to write beside them."""
        values = _decades(self.low, self.high) if self.log else _round_values(self.low, self.high)
        if self.whole:
            values = [value for value in values if value.is_integer()]
        return [(value, f"{value:,.10g}".replace("-", "\N{MINUS SIGN}")) for value in values]


@dataclass(frozen=True)
class Dot:
    """A case; `kind` is a style of the page."""

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
    """What is placed: an SVG path or a circle, with the page's style."""

    kind: str
    path: str = ""
    x: float = 0.0
    y: float = 0.0
    words: str = ""


@dataclass(frozen=True)
class Chart:
    """A chart.

    Args:
        title: a short sentence.
        words: what it shows, for those who don't see it.
        x, y: axes.
        bands, lines, dots: from back to front.
        legend: style -> what it stands for.
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
        """Ticks of x: where, and what is written."""
        return [(self._place((value, self.y.low))[0], text) for value, text in self.x.ticks()]

    @property
    def rows(self) -> list[tuple[float, str]]:
        """Ticks of y."""
        return [(self._place((self.x.low, value))[1], text) for value, text in self.y.ticks()]

    @property
    def marks(self) -> list[Mark]:
        """Everything drawn, from back to front."""
        shapes = [Mark(f"band {b.kind}", self._around(b)) for b in self.bands]
        shapes += [mark for line in self.lines for mark in self._of_line(line)]
        for dot in self.dots:
            x, y = self._place((dot.x, dot.y))
            shapes.append(Mark(f"dot {dot.kind}", "", x, y, dot.words))
        return shapes

    def _of_line(self, line: Line) -> list[Mark]:
        """Return the line; a dot, where it has a single point."""
        points = [point for point in line.points if all(map(math.isfinite, point))]
        if len(points) == 1:
            return [Mark(f"dot {line.kind}", "", *self._place(points[0]))]
        return [Mark(f"line {line.kind}", self._through(points))]

    def _place(self, point: Point) -> Point:
        left, top, right, bottom = self.frame
        across, up = (min(1.02, max(-0.02, a.share(v))) for a, v in zip((self.x, self.y), point, strict=True))
        return round(left + across * (right - left), 1), round(bottom - up * (bottom - top), 1)

    def _through(self, points: Iterable[Point]) -> str:
        placed = [self._place(point) for point in points if all(map(math.isfinite, point))]
        return "M" + "L".join(f"{x:g} {y:g}" for x, y in placed) if placed else ""

    def _around(self, band: Band) -> str:
        points = [point for point in band.points if all(map(math.isfinite, point))]
        there, back = [(x, low) for x, low, _ in points], [(x, high) for x, _, high in reversed(points)]
        return self._through([*there, *back]) + "Z" if points else ""


def axis_of(title: str, values: Sequence[float], log: bool = False, whole: bool = False) -> Axis:
    """Return an axis that holds all of the values that are finite, with room at its ends."""
    known = [value for value in values if math.isfinite(value) and (value > 0 or not log)] or [1.0]
    low, high = min(known), max(known)
    if log:
        return Axis(title, low / 1.3, high * 1.3, log=True)
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

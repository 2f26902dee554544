"""Change of a volume between two scans, and what it means as a response to treatment."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

Response = Literal["worse", "unchanged", "minor", "intermediate", "major"]
UNCHANGED, MINOR, INTERMEDIATE = 10.0, 25.0, 50.0
"""Per cent: within 10 is unchanged, up to 25 less minor, up to 50 intermediate, beyond it major (PLoS One 2020,
15:e0241347)."""


@dataclass(frozen=True)
class Volume:
    """A volume and, where it is known, the interval that holds nine true volumes in ten; in mL."""

    ml: float
    low_ml: float | None = None
    high_ml: float | None = None

    @classmethod
    def within(cls, ml: float, percent: float) -> Volume:
        """Return a volume whose measurement is off by at most so many per cent of the true volume in nine cases of ten.

        What is measured 40 % too small is true / 0.6, so 10 mL are truly 7.1 to 16.7 mL.

        Args:
            ml: as measured.
            percent: below 100; an error as large as the volume itself leaves no upper end.

        Example:
            >>> ends = Volume.within(10.0, 40)
            >>> round(ends.low_ml, 1), round(ends.high_ml, 1)
            (7.1, 16.7)
        """
        return cls(ml, ml / (1 + percent / 100), ml / (1 - percent / 100))

    def loosened(self, factor: float) -> Volume:
        """Return this volume with an interval that holds a further error too: a volume that may be too small or too
        large by this factor, independently of what the interval holds already. An interval that is not known stays so.
        """
        if self.log_errors is None:
            return self
        down, up = (math.hypot(error, math.log(factor)) for error in self.log_errors)
        return Volume(self.ml, self.ml * math.exp(-down), self.ml * math.exp(min(up, 700.0)))

    @property
    def log_errors(self) -> tuple[float, float] | None:
        """How far the true volume lies under and over the measured one, as logarithms; None where that says nothing."""
        if self.low_ml is None or self.high_ml is None or self.ml == 0:
            return None
        return _log_ratio(self.ml, self.low_ml), _log_ratio(self.high_ml, self.ml)


@dataclass(frozen=True)
class Detectable:
    """The smallest true changes that measurements with these errors would show in four cases of five.

    Args:
        decrease_percent, increase_percent: of the volume before; None where no change, however large, is.
    """

    decrease_percent: float | None
    increase_percent: float | None

    POWER: ClassVar[float] = 1 + 0.841621 / 1.644854
    """By how much a change must exceed the 90 % interval's half width to lie beyond it in four cases of five: the
    normal quantiles of 80 % and of 95 %, as each end of the interval leaves out 5 %."""

    @classmethod
    def between(cls, before: Volume, after: Volume) -> Detectable | None:
        """Compute it from the errors of both volumes; those of the volume before stand for an unknown one after.

        Returns:
            None where the error of the volume before is not known, or it is 0.
        """
        first = before.log_errors
        if first is None:
            return None
        second = after.log_errors or first
        down, up = math.hypot(first[0], second[1]), math.hypot(first[1], second[0])
        most = 700.0 / cls.POWER
        return cls(
            _finite(100 * math.expm1(-cls.POWER * down)) if down < most else None,
            _finite(100 * math.expm1(cls.POWER * up)) if up < most else None,
        )


@dataclass(frozen=True)
class Change:
    """From one volume to the next.

    Args:
        before, after: the volumes.
        percent: change in % of the volume before; None where that is 0 and the other is not.
        low_percent, high_percent: of the interval that holds nine true changes in ten; None where it is open or where
            a volume's interval is not known.
        beyond_error: whether the interval leaves out "no change"; None where it is not known.
        response: "unchanged" also where the change is not beyond the measurement error; None where none is called.
        grid_percent: by how much another thickness of slices alone may move the volume; None where it is the same.
        detectable: which changes could be seen at all; None where the error is not known.

    Example:
        >>> change = Change.between(Volume.within(10.0, 5), Volume.within(6.0, 5))
        >>> round(change.percent), change.response
        (-40, 'intermediate')
    """

    before: Volume
    after: Volume
    percent: float | None
    low_percent: float | None
    high_percent: float | None
    beyond_error: bool | None
    response: Response | None
    grid_percent: float | None = None
    detectable: Detectable | None = None

    @classmethod
    def between(cls, before: Volume, after: Volume, grids: float = 1.0) -> Change:
        """Compare two volumes.

        The interval of the ratio is put together from those of both volumes, on a logarithmic scale and as if their
        errors were independent (MOVER; Zou and Donner, Statistics in Medicine 2008, 27:1693). Errors of one model in
        one patient resemble each other, so the true change lies in it more often than in nine cases of ten.

        Args:
            before, after: the volumes.
            grids: factor by which another thickness of slices alone may move the volume; 1 where it is the same. The
                interval is widened by it, and no response is called where it explains the change.
        """
        after = after.loosened(grids)
        percent = _percent(before.ml, after.ml)
        ends = _ratio_interval(before, after)
        beyond = None if ends is None else not ends[0] <= 1 <= ends[1]
        low, high = (None, None) if ends is None else (_finite(100 * (end - 1)) for end in ends)
        response = response_to(math.inf if percent is None else percent)
        called: Response | None = "unchanged" if beyond is False else response
        if grids > 1 and response != "unchanged" and _explained(before.ml, after.ml, grids):
            called = None
        thickness = 100 * (grids - 1) if grids > 1 else None
        seen = Detectable.between(before, after)
        return cls(before, after, percent, low, high, beyond, called, thickness, seen)

    @property
    def uncalled(self) -> Change:
        """The same without a response, as of scans that can't be compared."""
        return replace(self, response=None)

    @property
    def possible(self) -> tuple[Response, Response] | None:
        """The responses at the interval's ends, the better first; None where the interval is not known."""
        if self.beyond_error is None:
            return None
        low, high = (end if end is not None else math.inf for end in (self.low_percent, self.high_percent))
        return response_to(low), response_to(high)


def response_to(percent: float) -> Response:
    """Classify a change in per cent.

    >>> response_to(-60.0), response_to(-5.0), response_to(30.0)
    ('major', 'unchanged', 'worse')
    """
    if percent > UNCHANGED:
        return "worse"
    if percent >= -UNCHANGED:
        return "unchanged"
    if percent >= -MINOR:
        return "minor"
    return "intermediate" if percent >= -INTERMEDIATE else "major"


def _explained(before: float, after: float, factor: float) -> bool:
    return before > 0 and after > 0 and abs(math.log(after / before)) <= math.log(factor)


def _percent(before: float, after: float) -> float | None:
    if before == 0:
        return 0.0 if after == 0 else None
    return 100 * (after / before - 1)


def _ratio_interval(before: Volume, after: Volume) -> tuple[float, float] | None:
    """Return the ends of after / before; the upper one is infinite where the volume before may be 0."""
    if None in (before.low_ml, before.high_ml, after.low_ml, after.high_ml):
        return None
    b, b_low, b_high = before.ml, float(before.low_ml or 0), float(before.high_ml or 0)
    a, a_low, a_high = after.ml, float(after.low_ml or 0), float(after.high_ml or 0)
    if a > 0 and b > 0:
        middle = math.log(a / b)
        down = math.hypot(_log_ratio(a, a_low), _log_ratio(b_high, b))
        up = math.hypot(_log_ratio(a_high, a), _log_ratio(b, b_low))
        return math.exp(middle - down), math.exp(min(middle + up, 700.0)) if up < math.inf else math.inf
    # A volume of 0 has no logarithm: the widest that both intervals allow.
    return (a_low / b_high if b_high else 1.0), (a_high / b_low if b_low else math.inf if a_high else 1.0)


def _log_ratio(large: float, small: float) -> float:
    return math.log(large / small) if small > 0 else math.inf


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None

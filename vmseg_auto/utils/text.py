"""Numbers, sizes, ranges, intervals and lists in words: one form for screen, tables, model card and reports."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import median

UNKNOWN = "-"


def counted(number: int, what: str) -> str:
    """Return a number of things.

    >>> counted(1, "mask"), counted(2, "mask")
    ('1 mask', '2 masks')
    """
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def listed(names: Sequence[str], most: int = 6) -> str:
    """Return the first few of many names.

    >>> listed(["anna", "bert", "cora"], most=2)
    'anna, bert and 1 more'
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def decimal(value: float | None, digits: int, sign: bool = False) -> str:
    """Return a number with so many decimals; UNKNOWN where it is None, NaN or infinite.

    >>> decimal(0.12345, 3), decimal(0.12345, 2, sign=True), decimal(None, 2)
    ('0.123', '+0.12', '-')
    """
    if value is None or not math.isfinite(value):
        return UNKNOWN
    return f"{value:{'+' if sign else ''}.{digits}f}"


def minus_signs(text: str) -> str:
    """Return numbers as a page sets them, with minus signs and not hyphens."""
    return text.replace("-", "\N{MINUS SIGN}")


def interval(low: float | None, high: float | None, digits: int, sign: bool = False) -> str:
    """Return an interval; UNKNOWN where an end is.

    >>> interval(0.25, 0.75, 2), interval(None, 0.75, 2)
    ('0.25 to 0.75', '-')
    """
    ends = decimal(low, digits, sign), decimal(high, digits, sign)
    return UNKNOWN if UNKNOWN in ends else " to ".join(ends)


def with_interval(
    value: float | None, low: float | None, high: float | None, why: str, digits: int = 3, sign: bool = False
) -> str:
    """Return a number and its interval, or why there is none.

    >>> with_interval(0.5, 0.25, 0.75, "", 2), with_interval(0.5, None, None, "fewer than five patients", 2)
    ('0.50 (0.25 to 0.75)', '0.50 (fewer than five patients)')
    """
    ends = interval(low, high, digits, sign)
    return f"{decimal(value, digits, sign)} ({why if ends == UNKNOWN else ends})"


def by_axes(values: Iterable[float], form: str = ".3g", between: str = " x ") -> str:
    """Return sizes along axes.

    >>> by_axes((4.0, 0.5, 0.5))
    '4 x 0.5 x 0.5'
    """
    return between.join(format(value, form) for value in values)


def value_range(values: Sequence[float], form: str = "g") -> str:
    """Return the range of some numbers, or the number where all are alike.

    >>> value_range([2.0, 1.0]), value_range([2.0, 2.0])
    ('1 to 2', '2')
    """
    low, high = format(min(values), form), format(max(values), form)
    return low if low == high else f"{low} to {high}"


def median_and_range(values: Sequence[float], form: str = ".3g") -> str:
    """Return the median of some numbers, and their range where they differ.

    >>> median_and_range([3.0, 2.5, 7.5]), median_and_range([3.0, 3.0])
    ('3 (2.5 to 7.5)', '3')
    """
    middle, ends = format(median(values), form), value_range(values, form)
    return middle if middle == ends else f"{middle} ({ends})"


def medians_by_axes(triples: Sequence[Sequence[float]], form: str = ".3g") -> str:
    """Return median and range along each axis.

    >>> medians_by_axes([(3, 1, 1), (5, 1, 1), (4, 1, 1)])
    '4 (3 to 5) x 1 x 1'
    """
    return " x ".join(median_and_range([float(value) for value in axis], form) for axis in zip(*triples, strict=True))

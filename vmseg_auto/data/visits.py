"""Which cases look like visits of one patient, going by their names."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

_YEAR, _MONTH, _DAY = r"(?:19|20)\d\d", r"(?:0[1-9]|1[0-2])", r"(?:0[1-9]|[12]\d|3[01])"
_BREAK = r"(?:^|[_\-. ]+)"
_VISIT = re.compile(
    rf"""
    (?: {_BREAK}
        (?: v \d{{1,3}}
          | {_YEAR}{_MONTH}{_DAY} | {_YEAR}(?P<a>[_\-.]){_MONTH}(?P=a){_DAY} | {_DAY}(?P<b>[_\-.]){_MONTH}(?P=b){_YEAR}
          | ses - [a-z\d]+ )                                       # BIDS: sub-03_ses-pre
      | (?: {_BREAK} | (?<=\d) | (?-i:(?<=[a-z])(?=[A-Z])) )      # anna_visit2, 10062Ses1, annaVisit2
        (?: (?:session|sess|ses|visit|time[_\-]?point|tp) [_\-. ]? \d{{1,3}}
          | (?:follow[_\-. ]?up|fu) [_\-. ]? \d{{0,3}} | baseline )
    ) (?![^\W_])                                                  # not fungus, not v2b
    """,
    re.VERBOSE | re.IGNORECASE,
)
_NO_PERSON = re.compile(
    r"(?:case|patient|pat|sub|subject|scan|image|img|mri?|vm|study|t[12]w?)?[_\-. ]*", re.IGNORECASE
)


def suggest_visits(cases: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Find the cases whose names differ in a mark of a visit alone, such as anna_v1 and anna_v2.

    Marks are `v2`, `ses-02`, `Ses1`, `visit2`, `tp2`, `timepoint2`, `baseline`, `followup`, `fu1`, and dates. A name
    without a mark belongs to those that have one and are otherwise equal. A number (`case_01`), a year and a weighting
    (`_t1`, `_t2`) are no marks. Nothing is suggested where what remains names nobody (`case_v1`), or is the same for
    all cases.

    Args:
        cases: their ids.

    Returns:
        What remains of the names -> the cases that share it, two or more, sorted.

    Example:
        >>> suggest_visits(["anna_v1", "anna_v2", "ben"])
        {'anna': ('anna_v1', 'anna_v2')}
    """
    names = sorted(set(cases))
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        groups[_VISIT.sub("", name).strip("_-. ")].append(name)
    if len(groups) < 2:
        return {}
    return {
        stem: tuple(group)
        for stem, group in sorted(groups.items())
        if len(group) > 1 and not _NO_PERSON.fullmatch(stem)
    }

"""One cohort of several hospitals, from the fingerprint of each."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from functools import reduce

from vmseg_auto.planning.fingerprint import ChannelStats, Fingerprint, numbered
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.histogram import Histogram
from vmseg_auto.utils.json_codec import digest


def merge_fingerprints(parts: Mapping[str, Fingerprint]) -> Fingerprint:
    """Merge fingerprints into one of all cases together; their order changes nothing.

    Scans, counts, means, standard deviations, least and greatest are those of the whole; median and percentiles are
    within the histograms' accuracy. Names of cases are not taken over.

    Args:
        parts: file -> what it holds; for messages.

    Raises:
        InputError: different channels or labels, the same cohort twice, or statistics that can't be added up.
    """
    (first_file, first), *others = parts.items()
    for file, part in others:
        for what, ours, theirs in (("channels", first.channels, part.channels), ("labels", first.labels, part.labels)):
            if ours != theirs:
                raise InputError(
                    f"its {what} are {theirs}, but those of {first_file} are {ours}",
                    file=file,
                    remedy="Agree on one dataset.json, and plan again at each site.",
                )
    known: dict[str, str] = {}
    for file, part in parts.items():
        for cohort in part.parts or (part.dataset_hash,):
            if cohort in known:
                raise InputError(f"it holds the cohort that {known[cohort]} holds", file=file, remedy="Name it once.")
            known[cohort] = file
        if not part.mergeable:
            raise InputError(
                "its intensities can't be added up: another version made it",
                file=file,
                remedy="Let that hospital plan again with this version.",
            )
    ordered = sorted(parts.values(), key=lambda part: part.dataset_hash)
    cases = numbered([case for part in ordered for case in part.cases.values()])
    return Fingerprint(
        dataset="",
        channels=first.channels,
        labels=first.labels,
        cases=cases,
        channel_stats=tuple(map(_merged, zip(*(part.channel_stats for part in ordered), strict=True))),
        median_relative_size=statistics.median(case.relative_size for case in cases.values()),
        dataset_hash=digest(sorted(known)),
        parts=tuple(sorted(known)),
    )


def _merged(stats: Sequence[ChannelStats]) -> ChannelStats:
    """Merge the moments of one channel as in Chan, Golub and LeVeque, COMPSTAT 1982."""
    histogram = reduce(Histogram.__add__, (part.histogram for part in stats if part.histogram))
    shares = [part.histogram.total / histogram.total for part in stats if part.histogram]
    mean = sum(share * part.mean for share, part in zip(shares, stats, strict=True))
    variance = sum(share * (part.std**2 + (part.mean - mean) ** 2) for share, part in zip(shares, stats, strict=True))
    return ChannelStats(
        mean=mean,
        median=histogram.quantile(0.5),
        std=math.sqrt(variance),
        min=min(part.min for part in stats),
        max=max(part.max for part in stats),
        percentile_00_5=histogram.quantile(0.005),
        percentile_99_5=histogram.quantile(0.995),
        histogram=histogram,
    )

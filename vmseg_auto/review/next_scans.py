"""Which scans a model would learn most from: those that it is uncertain of, and that are unlike those it has seen.

Uncertain scans alone are often alike, so that the second teaches little after the first. So each scan is taken for what
is uncertain in it, times how far it is from all that are annotated or stand before it. Distances are one minus the
correlation of the scans in coarse blocks, by which duplicates are found too. That is the greedy search for centres of
Sener and Savarese (ICLR 2018), weighted by uncertainty.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.data.cases import over_cases, read_case
from vmseg_auto.data.dataset import Case
from vmseg_auto.preprocessing.duplicates import Signature, same_images, signature
from vmseg_auto.utils.console import Console
from vmseg_auto.utils.errors import InputError, VmsegError
from vmseg_auto.utils.label_masks import looks_like_intensities
from vmseg_auto.utils.text import counted


@dataclass(frozen=True)
class Ordered:
    """Scans in the order in which they are worth annotating.

    Args:
        cases: ids, the most worth first; those that are done stand last.
        there: id of a scan that is annotated already -> the id of the case that it is.
        failed: what is wrong with scans that can't be read, or are masks.
    """

    cases: tuple[str, ...]
    there: dict[str, str]
    failed: tuple[VmsegError, ...]


def order_scans(
    scans: Sequence[Case],
    annotated: Sequence[Case],
    done: Collection[str],
    uncertainty: Mapping[str, float],
    console: Console,
) -> Ordered:
    """Order scans by what a model would learn from them.

    Args:
        scans: of which masks are drawn or corrected.
        annotated: cases that the model learns from already.
        done: ids of scans that a reader is done with.
        uncertainty: id of a scan -> the uncertainty of its prediction, from 0 to 1; 1 where there is none.
        console: where progress goes; annotated cases that can't be read are named there.
    """
    jobs = min(4, os.cpu_count() or 1)
    with console.progress("Reading scans", len(scans) + len(annotated)) as progress:
        new, failed = over_cases(_signature_of_scan, scans, jobs, progress.advance)
        known, unread = over_cases(_signature, annotated, jobs, progress.advance)
    for error in unread:
        console.warn(f"a scan of the dataset can't be read, and those like it are not known for it: {error}")
    there = _there(new, known)
    cases = [case for case in new if case not in there and case not in done]
    last = [case for case in new if case not in there and case in done]
    doubts = np.array([uncertainty.get(case, 1.0) for case in cases])
    seen = [*known.values(), *(new[case] for case in last)]
    order = most_worth_first(doubts, _stacked([new[case] for case in cases]), _stacked(seen)) if cases else []
    return Ordered((*(cases[place] for place in order), *last), there, tuple(failed))


def most_worth_first(
    uncertainty: NDArray[np.float64], new: NDArray[np.float64], known: NDArray[np.float64]
) -> list[int]:
    """Return the places of new scans in the order in which they are worth annotating.

    Where nothing is known, the first one is the scan that is most like all others.

    Args:
        uncertainty: of each new scan [N], from 0 to 1.
        new, known: scans as vectors of length 1 [N, D] and [M, D]; known ones are annotated.

    >>> scans = np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    >>> most_worth_first(np.ones(3), scans, np.empty((0, 2)))
    [2, 0, 1]
    >>> most_worth_first(np.array([0.9, 0.1]), scans[1:], scans[:1])
    [0, 1]
    """
    likeness = new @ new.T
    distance = 1 - (new @ known.T).max(axis=1) if len(known) else likeness.mean(axis=1)
    order: list[int] = []
    for number in range(len(new)):
        worth = uncertainty * distance
        worth[order] = -np.inf
        place = int(worth.argmax())
        own = 1 - likeness[place]
        distance = own if not number and not len(known) else np.minimum(distance, own)
        order.append(place)
    return order


def _signature(case: Case) -> Signature:
    return signature(read_case(case)[0][:1])


def _signature_of_scan(case: Case) -> Signature:
    """Return the signature of a scan that is to be annotated; raises InputError where it is a mask."""
    image = read_case(case)[0][:1]
    if not looks_like_intensities(image[0]):
        problem = f"it looks like a mask and not like a scan: it holds {counted(len(np.unique(image)), 'value')}"
        raise InputError(problem, case=case.id, file=case.file, remedy="Name the folder of the scans, or move it away.")
    return signature(image)


def _there(new: Mapping[str, Signature], known: Mapping[str, Signature]) -> dict[str, str]:
    """Return which of the new scans are known ones, voxel by voxel."""
    names, own = [*known, *new], len(known)
    pairs = same_images([*known.values(), *new.values()])
    return {names[second]: names[first] for first, second, equal in pairs if equal and first < own <= second}


def _stacked(signatures: Sequence[Signature]) -> NDArray[np.float64]:
    """Return the whole images of signatures as vectors [N, D]."""
    if not signatures:
        return np.empty((0, 1))
    return np.stack([one.blocks[0] for one in signatures]).astype(np.float64)

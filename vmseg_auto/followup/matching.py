"""Which lesion of one scan is which of the next, once it is known how the patient moved."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from vmseg_auto.followup.records import Fate
from vmseg_auto.followup.rigid import RigidTransform, in_view, mapped, placed
from vmseg_auto.utils.components import Components

SHARE = 0.1
"""Of the smaller one of two lesions that must lie in the other for both to be the same."""
REACH_MM = 3.0
"""What is otherwise alone counts as the lesion that lies nearest, up to this gap: registration is not exact."""
IN_VIEW = 0.5
"""Of a lesion's voxels that the other scan must have seen for it to be called new or gone."""


@dataclass(frozen=True)
class Match:
    """Components that are one and the same, by their numbers in each scan (1 is the largest)."""

    fate: Fate
    before: tuple[int, ...]
    after: tuple[int, ...]


def match_lesions(before: Components, after: Components, transform: RigidTransform) -> list[Match]:
    """Find the lesions of the first scan in the second.

    Two lesions are the same where at least SHARE of the smaller one lies in the other; what is left alone then belongs
    to the nearest within REACH_MM. Voxels are looked up where they lie in the other scan, so that no lesion is lost
    between grids.

    Args:
        before, after: the lesions of each scan.
        transform: from the first scan's world to the second's.

    Returns:
        In the order of the largest lesion before, then of those that are new.
    """
    shared = np.maximum(_shares(before, after, transform), _shares(after, before, transform.inverse).T)
    pairs = shared >= SHARE
    _link_alone(pairs, before, after, transform)
    seen_before, seen_after = _in_view(before, after, transform), _in_view(after, before, transform.inverse)
    return [Match(_fate(first, second, seen_before, seen_after), first, second) for first, second in _groups(pairs)]


def _shares(source: Components, target: Components, transform: RigidTransform) -> NDArray[np.float64]:
    """Return for each pair of lesions [of source, of target] their overlap as a share of the smaller one."""
    places, owner = source.places
    indices = np.rint(mapped(places, source.geometry, target.geometry, transform)).astype(int)
    seen = in_view(indices, target.geometry)
    hit = target.numbered[tuple(indices[seen].T)]
    counts = np.zeros((source.count + 1, target.count + 1))
    np.add.at(counts, (owner[seen], hit), 1)
    own, other = source.voxels * source.geometry.voxel_ml, target.voxels * target.geometry.voxel_ml
    smaller = np.minimum.outer(own, other)
    shares: NDArray[np.float64] = counts[1:, 1:] * source.geometry.voxel_ml / np.maximum(smaller, 1e-12)
    return shares


def _link_alone(pairs: NDArray[np.bool_], before: Components, after: Components, transform: RigidTransform) -> None:
    """Link lesions without a partner to the nearest of the other scan, where one is near."""
    if not (before.count and after.count):
        return
    first, second = before.places, after.places
    moved = placed(first[0], before.geometry, transform)
    there = placed(second[0], after.geometry, RigidTransform())
    for lonely, (own, own_number), (other, other_number), flip in (
        (np.flatnonzero(~pairs.any(axis=1)) + 1, (moved, first[1]), (there, second[1]), False),
        (np.flatnonzero(~pairs.any(axis=0)) + 1, (there, second[1]), (moved, first[1]), True),
    ):
        tree = cKDTree(other)
        for number in lonely:
            distance, nearest = tree.query(own[own_number == number])
            closest = int(np.argmin(distance))
            if distance[closest] <= REACH_MM:
                here, partner = int(number) - 1, int(other_number[nearest[closest]]) - 1
                pairs[(partner, here) if flip else (here, partner)] = True


def _in_view(source: Components, target: Components, transform: RigidTransform) -> NDArray[np.bool_]:
    """Return which lesions the other scan has seen."""
    places, owner = source.places
    seen = in_view(mapped(places, source.geometry, target.geometry, transform), target.geometry)
    share = np.bincount(owner, weights=seen, minlength=source.count + 1)[1:] / np.maximum(source.voxels, 1)
    found: NDArray[np.bool_] = share >= IN_VIEW
    return found


def _groups(pairs: NDArray[np.bool_]) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Yield the components that are linked with each other, as numbers before and after."""
    rows, columns = pairs.shape
    at = np.nonzero(pairs)
    graph = coo_array((np.ones(len(at[0])), (at[0], at[1] + rows)), shape=(rows + columns, rows + columns))
    _, group = connected_components(graph, directed=False)
    for one in dict.fromkeys(group.tolist()):
        members = np.flatnonzero(group == one)
        yield (
            tuple((members[members < rows] + 1).tolist()),
            tuple((members[members >= rows] - rows + 1).tolist()),
        )


def _fate(
    before: tuple[int, ...], after: tuple[int, ...], seen_before: NDArray[np.bool_], seen_after: NDArray[np.bool_]
) -> Fate:
    if not after:
        return "gone" if seen_before[before[0] - 1] else "out of view"
    if not before:
        return "new" if seen_after[after[0] - 1] else "out of view"
    if len(before) == 1:
        return "same" if len(after) == 1 else "split"
    return "merged" if len(after) == 1 else "regrouped"

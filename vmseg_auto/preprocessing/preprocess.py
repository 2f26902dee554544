"""Plan + Case -> PreprocessedCase, kept on disk; only what changed is done again."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.data.cases import content_hash, over_cases, read_case
from vmseg_auto.data.dataset import Case
from vmseg_auto.data.decode_cache import DecodeCache
from vmseg_auto.data.preprocessed import PreprocessedCase, PreprocessedFolder
from vmseg_auto.planning.plan import Plan
from vmseg_auto.preprocessing.transform import preprocess_image, preprocess_mask
from vmseg_auto.utils.errors import InputError, VmsegError
from vmseg_auto.utils.label_masks import mask_of
from vmseg_auto.utils.labels import IGNORE, foreground_labels, regions_of

FOREGROUND_POSITIONS = 10_000
"""Most positions kept of each class."""


@dataclass(frozen=True)
class PreprocessingResult:
    """What became of the cases, by id; `failed` holds an error for each thing that went wrong."""

    made: tuple[str, ...]
    kept: tuple[str, ...]
    failed: tuple[VmsegError, ...]


def preprocess(
    cases: Sequence[Case],
    plan: Plan,
    folder: PreprocessedFolder,
    jobs: int,
    labels: Mapping[str, int],
    progress: Callable[[], object] = lambda: None,
    decode_cache: DecodeCache | None = None,
) -> PreprocessingResult:
    """Prepare every case that the folder does not hold with the same content.

    May be killed at any time: a case counts only once it is wholly on the disk.

    Args:
        cases: training cases; one without a mask is preprocessed without.
        plan: whose numbers are used; the folder is that of its `voxels_hash`.
        folder: where preprocessed cases lie.
        jobs: threads, each of which holds one case in memory.
        labels: label name -> value, 0 to K - 1, so that a value is its class index; after them, `ignore` may be K. Of
            labels that overlap, the class index is their place in the plan's regions, from 1.
        progress: called after each case.
        decode_cache: cases decoded already.

    Raises:
        ValueError: the label values are not 0 to K - 1.
    """
    if not regions_of(labels) and sorted(labels.values()) != list(range(len(labels))):
        raise ValueError(f"label values must be 0 to {len(labels) - 1}, not {sorted(labels.values())}")

    def work(case: Case) -> bool:
        content = (decode_cache.content(case) if decode_cache else None) or content_hash(case, labels)
        if folder.holds(case.id, content):
            return False
        folder.save(_prepare(case, content, plan, labels, decode_cache))
        return True

    done, failed = over_cases(work, cases, jobs, progress)
    return PreprocessingResult(
        made=tuple(case_id for case_id, new in done.items() if new),
        kept=tuple(case_id for case_id, new in done.items() if not new),
        failed=tuple(failed),
    )


def _prepare(
    case: Case, content: str, plan: Plan, labels: Mapping[str, int], decode_cache: DecodeCache | None
) -> PreprocessedCase:
    image, mask, geometry = (decode_cache.take(case) if decode_cache else None) or read_case(case, labels)
    try:
        preprocessed, crop_box = preprocess_image(image, geometry, plan)
    except InputError as error:
        error.case, error.file = case.id, case.file
        raise
    label = None if mask is None else preprocess_mask(mask, geometry, crop_box, plan)
    foreground, annotated = ({}, None) if label is None else _positions(label, labels, case)
    return PreprocessedCase(
        id=case.id,
        image=preprocessed,
        label=label,
        geometry=geometry,
        crop_box=crop_box,
        foreground=foreground,
        content=content,
        annotated=annotated,
    )


def _positions(
    label: NDArray[np.uint8], labels: Mapping[str, int], case: Case
) -> tuple[dict[int, NDArray[np.int32]], NDArray[np.int32] | None]:
    """Draw voxel positions of each class that is there, and of all annotated voxels where some are not, with a seed
    that is the case's own.

    Raises:
        InputError: resampling has left no annotated voxel.
    """
    random = np.random.default_rng(zlib.crc32(case.id.encode()))

    def drawn(there: NDArray[np.bool_]) -> NDArray[np.int32]:
        found = np.flatnonzero(there)
        if len(found) > FOREGROUND_POSITIONS:
            found = random.choice(found, FOREGROUND_POSITIONS, replace=False)
        return np.stack(np.unravel_index(found, label.shape), axis=1).astype(np.int32)

    classes = enumerate(foreground_labels(labels), 1)
    positions = {index: found for index, name in classes if len(found := drawn(mask_of(label, labels, name)))}
    if not (label == IGNORE).any():
        return positions, None
    annotated = drawn(label != IGNORE)
    if not len(annotated):
        problem = "no annotated voxel is left of its mask where the scan is not 0, at the plan's voxel size"
        remedy = "Outline more slices, or remove the case."
        raise InputError(problem, case=case.id, file=case.label, remedy=remedy)
    return positions, annotated

"""Dataset -> Fingerprint: every case is read once, checked and measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.data.cases import content_hashes, over_cases, read_case
from vmseg_auto.data.dataset import Case, Dataset
from vmseg_auto.data.dataset_json import ADVISED_DROPOUT
from vmseg_auto.data.decode_cache import DecodeCache
from vmseg_auto.planning.fingerprint import CaseSummary, ChannelStats, Duplicate, FileHashes, Fingerprint
from vmseg_auto.preprocessing.content import content_notes, require_contrast, unlike_voxel_sizes
from vmseg_auto.preprocessing.duplicates import Signature, same_images, signature
from vmseg_auto.preprocessing.normalise import intensity_profiles
from vmseg_auto.preprocessing.transform import box_slices, nonzero_box
from vmseg_auto.utils.errors import DatasetError, InputError
from vmseg_auto.utils.geometry import Geometry, Spacing
from vmseg_auto.utils.histogram import Histogram
from vmseg_auto.utils.json_codec import digest
from vmseg_auto.utils.label_masks import foreground_of
from vmseg_auto.utils.labels import IGNORE, classes_of, mask_values, values_of
from vmseg_auto.utils.text import listed

SAMPLES_PER_CASE = 10_000
SAMPLE_SEED = 1234


@dataclass(frozen=True)
class _Checked:
    """What is kept of every case; the hashes are of its image files alone, and of all of them."""

    signature: Signature
    spacing_mm: Spacing
    notes: tuple[str, ...]
    image_content: str
    content: str


@dataclass(frozen=True)
class _Findings(_Checked):
    """What is kept of a training case besides: summary, and of each channel foreground samples [n] (n is 0 without
    foreground, and of a channel that is missing).
    """

    summary: CaseSummary
    samples: tuple[NDArray[np.float32], ...]


def analyse(
    dataset: Dataset,
    jobs: int = 1,
    progress: Callable[[], object] = lambda: None,
    decode_cache: DecodeCache | None = None,
) -> tuple[Fingerprint, list[str]]:
    """Check every case, test cases too, and fingerprint the training cases.

    The result does not depend on the number of jobs. Intensities are sampled as nnU-Net does: over each case's
    foreground, a fixed number with replacement.

    Args:
        dataset: as `read_dataset` gave it.
        jobs: threads, each of which holds one case in memory.
        progress: called after each training case.
        decode_cache: keeps the decoded training cases.

    Returns:
        The fingerprint, and what is odd but legal, in words.

    Raises:
        DatasetError: cases that can't be used; all are listed.
        InputError: no mask holds any foreground, or no case with foreground has one of the channels.
    """
    found, errors = over_cases(
        lambda case: _examine(case, dataset.mask_labels, decode_cache), dataset.cases, jobs, progress
    )
    tested, more = over_cases(lambda case: _check(case, dataset.mask_labels), dataset.test_cases, jobs, lambda: None)
    errors += more
    if errors:
        bad = len({error.case for error in errors})
        total = len(dataset.cases) + len(dataset.test_cases)
        raise DatasetError(f"{bad} of {total} cases can't be used", errors, remedy="Mend or remove them:")
    notes = [note for case in (*found.values(), *tested.values()) for note in case.notes]
    notes += _never_drawn(dataset.labels, found.values())
    notes += _partly_annotated({case_id: case.summary for case_id, case in found.items()})
    checked = found | {f"imagesTs/{case_id}": case for case_id, case in tested.items()}
    notes += _missing_channels({case_id: case.summary for case_id, case in found.items()}, dataset.channels)
    notes += unlike_voxel_sizes({case_id: case.spacing_mm for case_id, case in checked.items()})
    summaries = {case_id: case.summary for case_id, case in found.items()}
    samples = [np.concatenate(channel) for channel in zip(*(case.samples for case in found.values()), strict=True)]
    if not any(map(len, samples)):
        raise InputError(
            "no mask holds any foreground", remedy="Training needs masks with something in them; check labelsTr."
        )
    if lost := [name for name, channel in zip(dataset.channels, samples, strict=True) if not len(channel)]:
        problem = f"no case whose mask holds foreground has the channel {listed(lost)}"
        raise InputError(problem, remedy="Take the channel out of dataset.json, or add cases that have it.")
    fingerprint = Fingerprint(
        dataset=dataset.name,
        channels=dataset.channels,
        labels=dataset.labels,
        cases=summaries,
        channel_stats=tuple(_stats(channel) for channel in samples),
        median_relative_size=median(summary.relative_size for summary in summaries.values()),
        dataset_hash=digest(
            [dataset.channels, dataset.labels, sorted((name, case.content) for name, case in summaries.items())]
        ),
        duplicates=_duplicates(checked),
        tests={case_id: FileHashes(case.content, case.image_content) for case_id, case in tested.items()},
    )
    return fingerprint, notes


def _examine(case: Case, labels: Mapping[str, int], decode_cache: DecodeCache | None) -> _Findings:
    notes: list[str] = []
    image, mask, geometry = _read(case, labels, notes)
    image_content, content = content_hashes(case, labels)
    if mask is None:
        raise InputError("the mask is missing", case=case.id, remedy="Training cases need masks.")
    if decode_cache is not None:
        decode_cache.put(case, content, (image, mask, geometry))
    box = nonzero_box(image)
    cropped = image[(slice(None), *box_slices(box))]
    z, y, x = cropped.shape[1:]
    summary = CaseSummary(
        shape=geometry.shape,
        cropped_shape=(z, y, x),
        spacing_mm=geometry.spacing_mm,
        class_voxels={
            value: int(np.count_nonzero(mask == value)) for value in sorted(mask_values(classes_of(labels)) - {0})
        },
        content=content,
        image_content=image_content,
        patient_axes=geometry.patient_axes,
        profiles=intensity_profiles(cropped),
        ignored_voxels=int(np.count_nonzero(mask == IGNORE)),
    )
    return _Findings(
        signature=signature(image),
        spacing_mm=geometry.spacing_mm,
        notes=tuple(notes),
        image_content=image_content,
        content=content,
        summary=summary,
        samples=_foreground_samples(cropped, foreground_of(mask[box_slices(box)])),
    )


def _read(
    case: Case, labels: Mapping[str, int], notes: list[str]
) -> tuple[NDArray[np.float32], NDArray[np.uint8] | None, Geometry]:
    """Return a case as `read_case` does, having looked at what is in its voxels."""
    image, mask, geometry = read_case(case, labels, notes)
    try:
        require_contrast(image)
    except InputError as error:
        error.case, error.file = case.id, case.file
        raise
    notes += content_notes(image, mask, case.id)
    return image, mask, geometry


def _never_drawn(labels: Mapping[str, int], cases: Iterable[_Findings]) -> list[str]:
    drawn = {value for case in cases for value, voxels in case.summary.class_voxels.items() if voxels}
    return [
        f"no mask holds the label {name} ({value}): it can't be learnt, and gets no score; "
        "take it out of dataset.json, or add cases with it"
        for name, value in labels.items()
        if value and not drawn.intersection(values_of(labels, name))
    ]


def _partly_annotated(cases: Mapping[str, CaseSummary]) -> list[str]:
    """Name in one sentence the cases whose masks are annotated in part; empty where there are none."""
    parts = {case_id: summary.annotated_share for case_id, summary in cases.items() if summary.ignored_voxels}
    if not parts:
        return []
    low, high = (f"{100 * share:.2g} %" for share in (min(parts.values()), max(parts.values())))
    return [
        f"{len(parts)} of {len(cases)} masks are annotated in part ({low} to {high} of their voxels): "
        f"{listed(list(parts))}; their other voxels are neither learnt from nor scored, and their volumes are estimates"
    ]


def _missing_channels(cases: Mapping[str, CaseSummary], channels: Sequence[str]) -> list[str]:
    """Name for each channel the cases that lack it, in a sentence."""
    found = []
    for number, channel in enumerate(channels):
        if lacking := [case_id for case_id, summary in cases.items() if number in summary.missing]:
            found.append(
                f"{len(lacking)} of {len(cases)} cases lack the channel {channel}: {listed(lacking)}; train with "
                f"--set {ADVISED_DROPOUT}, so that the network learns to do without it"
            )
    return found


def _check(case: Case, labels: Mapping[str, int]) -> _Checked:
    notes: list[str] = []
    image, _, geometry = _read(case, labels, notes)
    return _Checked(signature(image), geometry.spacing_mm, tuple(notes), *content_hashes(case, labels))


def _duplicates(checked: Mapping[str, _Checked]) -> tuple[Duplicate, ...]:
    names = list(checked)
    pairs = same_images([case.signature for case in checked.values()])
    return tuple(Duplicate((names[a], names[b]), "identical" if same else "nearly identical") for a, b, same in pairs)


def _foreground_samples(image: NDArray[np.float32], foreground: NDArray[np.bool_]) -> tuple[NDArray[np.float32], ...]:
    random = np.random.RandomState(SAMPLE_SEED)
    nothing = np.empty(0, dtype=np.float32)
    return tuple(
        random.choice(channel[foreground], SAMPLES_PER_CASE, replace=True)
        if foreground.any() and channel.any()
        else nothing
        for channel in image
    )


def _stats(values: NDArray[np.float32]) -> ChannelStats:
    low, middle, high = np.percentile(values, (0.5, 50.0, 99.5))
    return ChannelStats(
        mean=float(values.mean(dtype=np.float64)),
        median=float(middle),
        std=float(values.std(dtype=np.float64)),
        min=float(values.min()),
        max=float(values.max()),
        percentile_00_5=float(low),
        percentile_99_5=float(high),
        histogram=Histogram.of(values),
    )

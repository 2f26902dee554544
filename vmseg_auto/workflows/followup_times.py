"""The same patients at more than two times: each compared with the baseline, and all of it put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import pairwise
from pathlib import Path

from vmseg_auto.data.dataset import Case
from vmseg_auto.data.dicom.series import Choice
from vmseg_auto.data.naming import stem
from vmseg_auto.figures.plots import write_charts
from vmseg_auto.followup.comparability import Word, check_headers
from vmseg_auto.followup.records import FollowUp, FollowUps
from vmseg_auto.followup.trajectory import COLUMNS, Trajectories, trajectory
from vmseg_auto.followup.trajectory_charts import charts_of
from vmseg_auto.utils.atomic import read_stored, write_json
from vmseg_auto.utils.console import Console, Silent
from vmseg_auto.utils.errors import DatasetError, InputError, SomeCasesFailedError, VmsegError
from vmseg_auto.utils.folders import require_apart
from vmseg_auto.utils.geometry import Spacing
from vmseg_auto.utils.left_out import Inventory, telling_left_out
from vmseg_auto.utils.tables import write_csv
from vmseg_auto.workflows.followup import follow_up, partners, scans_of_time, segmented
from vmseg_auto.workflows.locking import output_lock
from vmseg_auto.workflows.paths import PathLike
from vmseg_auto.workflows.predict import predict

_ENDINGS = "_trajectory.csv", "_trajectory.png"


@telling_left_out
def follow_times(
    scans: Sequence[PathLike],
    output: PathLike,
    *,
    masks: Sequence[PathLike] | None = None,
    error_percent: float | None = None,
    order_as_given: bool = False,
    same_patient: bool = False,
    spacing_mm: Spacing | None = None,
    model: PathLike | None = None,
    dataset: PathLike | None = None,
    workspace: PathLike | None = None,
    series: Sequence[str] = (),
    echo: int | None = None,
    device: str = "auto",
    jobs: int | None = None,
    left: Inventory | None = None,
    console: Console | None = None,
) -> Trajectories:
    """Compare scans of the same patients at three or more times; write a table and a picture for each patient.

    Args:
        scans: a scan, or a folder of scans, for each time, the baseline first; in folders those of the same name belong
            together.
        output: the folder written to: masks in its folders `time_0`, `time_1`, ..., comparisons with the baseline in
            `0_to_1`, `0_to_2`, ...
        masks: a mask or a folder of masks for each time; the scans are predicted unless given.
        error_percent, order_as_given, same_patient, spacing_mm, model, dataset, workspace, series, echo, device, jobs,
            left, console: as for `follow_up`.

    Raises:
        InputError: as `follow_up`; fewer than three times, or not a mask for each.
        SomeCasesFailedError: some scans or comparisons failed; what the others tell is written.
    """
    console, left, target = console or Silent(), left or Inventory(), Path(output)
    if len(scans) < 3 or (masks is not None and len(masks) != len(scans)):
        given = f"{len(scans)} times" + ("" if masks is None else f" and masks for {len(masks)}")
        raise InputError(f"there are {given}", remedy="Name three times or more, and a mask for each or none.")
    sources = [Path(scan) for scan in scans]
    require_apart(target, sources)
    found = [scans_of_time(source, Choice(tuple(series), echo), True, Inventory()) for source in sources]
    patients = _patients(found)
    errors = _out_of_order(patients, Word(order_as_given, same_patient))
    refused = {error.case for error in errors}
    with output_lock(target, "vmseg_followup", console):
        places = [Path(mask) for mask in masks] if masks is not None else []
        failed = [set[str]() for _ in sources]
        for time, source in enumerate(sources if masks is None else ()):
            places.append(target / f"time_{time}")
            segment = partial(
                predict, source, places[-1], model=model, dataset=dataset, workspace=workspace, series=series,
                echo=echo, spacing_mm=spacing_mm, device=device, jobs=jobs, left=left, console=console,
            )  # fmt: skip
            made, why = segmented(segment)
            errors += why
            if why:  # a mask of an earlier run may lie there still
                failed[time] = set(found[time]) - {stem(mask) for mask in made}
        pairs: dict[str, list[tuple[int, FollowUp]]] = {}
        for time in range(1, len(sources)):
            without = {
                name for name, own in patients.items()
                if name in refused or name in failed[0] or (time in own and own[time].id in failed[time])
            }  # fmt: skip
            compare = partial(
                follow_up, sources[0], sources[time], target / f"0_to_{time}", masks=(places[0], places[time]),
                error_percent=error_percent, order_as_given=order_as_given, same_patient=same_patient,
                spacing_mm=spacing_mm, series=series, echo=echo, leave_out=without, left=left, console=console,
            )  # fmt: skip
            for pair in _compared(compare, errors):
                pairs.setdefault(pair.before, []).append((time, pair))
        done = Trajectories(tuple(trajectory(own) for own in pairs.values()))
        for name in set(patients) - set(pairs):  # of an earlier run
            for ending in _ENDINGS:
                (target / f"{name}{ending}").unlink(missing_ok=True)
        if done.patients:
            _write(done, target, console)
    if errors:
        raise SomeCasesFailedError(f"{len(errors)} scans or comparisons failed", errors)
    return done


def _patients(found: Sequence[Mapping[str, Case]]) -> dict[str, dict[int, Case]]:
    """Return the scans of each patient: name at baseline -> time -> scan."""
    patients = {name: {0: case} for name, case in found[0].items()}
    for time, scans in enumerate(found[1:], 1):
        with suppress(InputError):  # no patient is there: comparing this time says so
            for before, after in partners(found[0], scans, Inventory()):
                patients[before.id][time] = after
    return patients


def _out_of_order(patients: Mapping[str, Mapping[int, Case]], word: Word) -> list[VmsegError]:
    """Return why patients are left out, by the headers of neighbouring times; each later time is compared with the
    baseline, so that this alone would not tell.

    Raises:
        InputError: of a single patient.
        DatasetError: every patient is left out.
    """
    errors: list[VmsegError] = []
    for name, scans in patients.items():
        later = [scan for time, scan in scans.items() if time]
        try:
            for one, other in pairwise(later):
                check_headers(name, one.images[0], other.images[0], word)
        except InputError as error:
            errors.append(error)
    if errors and len(errors) == len(patients):
        raise errors[0] if len(errors) == 1 else DatasetError("no patient can be followed", errors)
    return errors


def _compared(compare: Callable[[], FollowUps], errors: list[VmsegError]) -> tuple[FollowUp, ...]:
    """Return the pairs of one time that could be compared; why others could not goes to `errors`."""
    try:
        return compare().pairs
    except SomeCasesFailedError as error:
        errors += error.errors
        return tuple(pair for path in error.done for pair in read_stored(FollowUps, path).pairs)
    except VmsegError as error:
        errors.append(error)
        return ()


def _write(done: Trajectories, target: Path, console: Console) -> None:
    for one in done.patients:
        write_csv(target / f"{one.case}{_ENDINGS[0]}", COLUMNS, one.rows())
        write_charts(charts_of(one), target / f"{one.case}{_ENDINGS[1]}")
        console.say(one.text())
    write_json(target / "trajectories.json", done.to_json())
    console.say(f"In {target}: CASE_trajectory.csv and .png of each patient, trajectories.json (all figures).")

"""The report of a workspace, or of predictions: one file to look at and to hand on."""

from __future__ import annotations

from pathlib import Path

from vmseg_auto.data.pseudonym_key import keep_key
from vmseg_auto.data.pseudonyms import Names, true_names
from vmseg_auto.data.workspace import OutputFolder
from vmseg_auto.report.failed import failed_table, require_all, require_some
from vmseg_auto.report.patients import gather_predictions
from vmseg_auto.report.predictions import KEEP, NOT_KEPT, read_predictions
from vmseg_auto.report.render import write_page
from vmseg_auto.report.workspace import gather_workspace, read_study
from vmseg_auto.utils.console import Console, Silent
from vmseg_auto.utils.errors import InputError, VmsegError
from vmseg_auto.utils.left_out import Inventory, telling_left_out
from vmseg_auto.utils.text import listed
from vmseg_auto.workflows.paths import PathLike, places


@telling_left_out
def write_report(
    predictions: PathLike | None = None,
    *,
    dataset: PathLike | None = None,
    workspace: PathLike | None = None,
    images: PathLike | None = None,
    output: PathLike | None = None,
    identity: bool = False,
    left: Inventory | None = None,
    console: Console | None = None,
) -> Path:
    """Write one HTML file that needs no network, of a workspace or, where they are given, of predictions.

    Patients get pseudonyms, whose key is written beside the report (NAME_key.csv), and pictures show nothing but the
    surroundings of lesions, unless `identity`.

    Args:
        predictions: a folder that `predict` has written.
        dataset, workspace: folders, as on the command line.
        images: where the predicted scans lie; where they lay then, unless given.
        output: the HTML file; report.html in the folder reported on, unless given.
        identity: whether names and whole slices may stand in it.
        left: what of folders and dataset is not used is noted here; a strict one ends the work before it begins.
        console: where words go.

    Returns:
        The report's path.

    Raises:
        InputError: nothing is planned or predicted there, or a file is missing or damaged.
        SomeCasesFailedError: the report of predictions is written, and tells of scans that have no mask, or whose mask
            can't be shown.
        VmsegError: the report can't be written.
    """
    console, left, scans = console or Silent(), left or Inventory(), 0
    failed: list[VmsegError] = []
    if predictions is not None:
        path = _page(output, OutputFolder(Path(predictions)).report)
        size, failed, scans = _of_predictions(Path(predictions), images, path, identity, left, console)
    else:
        if images is not None:
            raise InputError("--images goes with predictions", remedy="Name their folder with -i too.")
        home, space = places(dataset, workspace)
        path = _page(output, space.report)
        study = read_study(home, space, left)
        left.require_nothing()
        names = _names(study.patients, path, identity)
        content = gather_workspace(study, names, identity)
        size = write_page(path, "workspace", identity=identity, **content)
    console.say(f"Report: {path} ({size / 1e6:.1f} MB)")
    if identity:
        console.warn("the report shows names and whole slices: treat it as a patient's record")
    else:
        console.say(f"Key to its pseudonyms: {_key(path)}. Keep it apart from the report.")
    require_all(failed, scans)
    return path


def _of_predictions(
    folder: Path, images: PathLike | None, path: Path, identity: bool, left: Inventory, console: Console
) -> tuple[int, list[VmsegError], int]:
    """Write the report of a folder of masks; gives its bytes, what is wrong with scans that failed, and the number of
    all scans.
    """
    found, failed = read_predictions(folder, None if images is None else Path(images), left)
    require_some(found, failed, folder)
    left.require_nothing()
    if corrected := [one.record.case for one in found if one.record.judgement.corrected]:
        console.say(f"Corrected by hand after it was predicted, and measured as it is now: {listed(corrected)}.")
    if unseen := [one.record.case for one in found if one.found is None]:
        console.warn(f"the {NOT_KEPT}, so the report shows no slices of it: {listed(unseen)}. {KEEP}")
    cases = {error.case or "": error.case or "" for error in failed}
    cases |= {one.record.case: one.found.patient if one.found else one.record.case for one in found}
    names = _names(cases, path, identity)
    content, undrawn = gather_predictions(folder, found, names, identity, console)
    failed = [*failed, *undrawn]
    require_some(content["patients"], failed, folder)
    hidden = None if identity else [folder, *([Path(images)] if images is not None else [])]
    table = failed_table(failed, names.cases, hidden)
    size = write_page(path, "predictions", viewer=True, identity=identity, failed=table, **content)
    return size, failed, len(cases)


def _page(output: PathLike | None, usual: Path) -> Path:
    if output is None:
        return usual
    path = Path(output)
    if path.suffix.lower() not in (".html", ".htm"):
        raise InputError("the report is an HTML file", file=path, remedy="Give -o a name that ends with .html.")
    return path


def _key(path: Path) -> Path:
    return path.with_name(f"{path.stem}_key.csv")


def _names(patients: dict[str, str], path: Path, identity: bool) -> Names:
    """Return the names to show; the key is written first, so that no report lacks it."""
    return true_names(patients) if identity else keep_key(_key(path), patients)

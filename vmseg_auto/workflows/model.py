"""What is done with a trained model as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vmseg_auto.data.dataset_json import Description
from vmseg_auto.data.runs import FoldName, Run
from vmseg_auto.models.final_checkpoint import save_final
from vmseg_auto.models.model import ModelInfo
from vmseg_auto.models.nnunet import (
    CHECKPOINTS,
    FoldFile,
    TrainedFold,
    find_folds,
    read_configuration,
    read_fold,
    read_labels,
    read_plans,
)
from vmseg_auto.models.nnunet_conversion import convert_fold, convert_model, convert_plan
from vmseg_auto.utils.atomic import new_folder, refuse_links, write_sealed
from vmseg_auto.utils.console import Console, Silent, quoted
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.folders import require_apart
from vmseg_auto.utils.left_out import Inventory, telling_left_out
from vmseg_auto.workflows.locking import output_lock
from vmseg_auto.workflows.paths import PathLike


@telling_left_out
def import_nnunet(
    folder: PathLike,
    output: PathLike,
    *,
    folds: Sequence[FoldName] | None = None,
    left: Inventory | None = None,
    console: Console | None = None,
) -> Path:
    """Make a model folder for `predict` from a trained model of nnU-Net v2.

    No code in the checkpoints runs, and nothing of nnU-Net need be installed.

    Args:
        folder: nnU-Net's TRAINER__PLANS__CONFIGURATION with plans.json, dataset.json and the folds; left as it is.
        output: the folder to make.
        folds: which folds to take; all unless given.
        left: what of the folder is not taken over is noted here; a strict one ends the work before it begins.
        console: where words and progress go.

    Returns:
        The new folder.

    Raises:
        InputError: the output exists, or is not apart from the folder; the folder is damaged or no such model, or a
            file of it is a link that leads elsewhere; or the model does something that this program does not do in the
            same way. Nothing is written.
        VmsegError: the output can't be written.
    """
    console, left, source, target = console or Silent(), left or Inventory(), Path(folder), Path(output)
    require_apart(target, [source])
    with output_lock(target.parent, "vmseg_model import", console), new_folder(target) as temporary:
        info, taken = _convert(source, Run(temporary), folds, left, console)
    network = info.plan.network
    console.say(
        f"{info.plan.reasons[0]}; trainer {info.trainer}\n"
        f"  {network.builder}, {len(network.features)} stages, patch {' x '.join(map(str, info.plan.patch))} "
        f"at {info.plan.spacing_text()}\n"
        f"  channels {', '.join(info.channels)}; labels {', '.join(info.labels)}\n"
        f"  fold {', '.join(str(file.fold) for file in taken)}\n"
        f"The model is {target}. Segment with `vmseg_predict -m {quoted(target)} -i SCANS -o MASKS`."
    )
    return target


def _convert(
    source: Path, target: Run, wanted: Sequence[FoldName] | None, left: Inventory, console: Console
) -> tuple[ModelInfo, list[FoldFile]]:
    refuse_links(source, source / "plans.json", source / "dataset.json")
    plans, description, files = read_plans(source), read_labels(source), find_folds(source, wanted)
    refuse_links(source, *(file.file for file in files))
    _note_others(source, description, files, left)
    left.require_nothing()
    path = source / "plans.json"
    first = read_fold(files[0])
    configuration = read_configuration(plans, first.configuration, path)
    plan = convert_plan(plans, first.configuration, configuration, description, path)
    info = convert_model(plan, description, first, plans.dataset_name)
    with console.progress("Importing", len(files)) as progress:
        for file in files:
            fold = first if file == files[0] else read_fold(file)
            _check_same(first, fold)
            if file.file.name != CHECKPOINTS[0]:
                console.warn(f"fold {file.fold} has no {CHECKPOINTS[0]}; its {file.file.name} is taken")
            save_final(target.fold(file.fold).final, convert_fold(info, fold, configuration.batch_dice))
            progress.advance()
    write_sealed(target.model, info.to_json())
    return info, files


def _note_others(source: Path, description: Description, files: Sequence[FoldFile], left: Inventory) -> None:
    """Note what of nnU-Net's folder is not taken over, as far as it would change a mask."""
    taken = {file.fold for file in files}
    for fold in Run(source).folds():
        if fold.name not in taken:
            left.add("fold", fold.name, "not chosen by --folds", meant=True)
    for path in sorted([*source.glob("postprocessing.*"), *source.glob("crossval_results*/postprocessing.*")]):
        left.add("file", path, "nnU-Net's post-processing, which is not taken over", folder=source)
    for key in description.unused:
        left.add("key", key, "unknown in dataset.json")


def _check_same(first: TrainedFold, fold: TrainedFold) -> None:
    """Refuse folds of one ensemble that were not trained in one way."""
    for name in ("configuration", "trainer", "mirror_axes"):
        ours, theirs = getattr(first, name), getattr(fold, name)
        if ours != theirs:
            raise InputError(
                f"its {name} is {theirs}, but that of fold {first.source.fold} is {ours}",
                file=fold.source.file,
                remedy="Import folds of one training, with --folds.",
            )

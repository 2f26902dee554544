"""What is done with a trained model as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vmseg_auto.data.dataset_json import Description
from vmseg_auto.data.runs import FoldName, Run
from vmseg_auto.models.final_checkpoint import save_final
from vmseg_auto.models.manifest import FIRST_STAGE
from vmseg_auto.models.model import ModelInfo
from vmseg_auto.models.nnunet import (
    CHECKPOINTS,
    USE_NNUNET,
    FoldFile,
    TrainedFold,
    find_folds,
    read_configuration,
    read_fold,
    read_labels,
    read_plans,
    read_postprocessing,
)
from vmseg_auto.models.nnunet_conversion import convert_fold, convert_model, convert_plan, convert_postprocessing
from vmseg_auto.models.selection_record import PLAIN_THRESHOLD, Candidate
from vmseg_auto.utils.atomic import new_folder, refuse_links, write_sealed
from vmseg_auto.utils.console import Console, Silent, quoted
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.folders import require_apart
from vmseg_auto.utils.labels import Labels
from vmseg_auto.utils.left_out import Inventory, telling_left_out
from vmseg_auto.utils.postprocessing import PostProcessing
from vmseg_auto.utils.scratch import scratch
from vmseg_auto.workflows.export import pack_runs
from vmseg_auto.workflows.locking import output_lock
from vmseg_auto.workflows.paths import PathLike


@telling_left_out
def import_nnunet(
    folder: PathLike | Sequence[PathLike],
    output: PathLike,
    *,
    folds: Sequence[FoldName] | None = None,
    first_stage: PathLike | None = None,
    postprocessing: PathLike | None = None,
    left: Inventory | None = None,
    console: Console | None = None,
) -> Path:
    """Make a model for `predict` from a trained model of nnU-Net v2, or from several that predict together.

    No code in the checkpoints runs, and nothing of nnU-Net need be installed.

    Args:
        folder: nnU-Net's TRAINER__PLANS__CONFIGURATION with plans.json, dataset.json and the folds; left as it is. Of
            several the mean of probabilities counts, as nnUNetv2_ensemble makes it.
        output: the folder to make; of several models the zip.
        folds: which folds to take; all unless given.
        first_stage: folder of a cascade's first stage, all folds of which are taken; beside the cascade's unless given.
        postprocessing: nnU-Net's postprocessing.json, which is to be done to masks; nothing is unless given.
        left: what of the folders is not taken over is noted here; a strict one ends the work before it begins.
        console: where words and progress go.

    Returns:
        The new folder or zip.

    Raises:
        InputError: the output exists, or is not apart from the folders; a folder is damaged or no such model, or a
            file of it is a link that leads elsewhere; or a model does something that this program does not do in the
            same way. Nothing is written.
        VmsegError: the output can't be written.
    """
    sources = [Path(folder)] if isinstance(folder, (str, Path)) else [Path(one) for one in folder]
    console, target = console or Silent(), Path(output)
    importer = _Import(folds, first_stage, postprocessing, left or Inventory(), console)
    require_apart(target, sources)
    if len(sources) > 1:
        return _import_several(sources, target, importer)
    with output_lock(target.parent, "vmseg_model import", console), new_folder(target) as temporary:
        info, taken = importer.convert(sources[0], Run(temporary))
    _introduce(info, taken, console)
    console.say(f"The model is {target}. Segment with `vmseg_predict -m {quoted(target)} -i SCANS -o MASKS`.")
    return target


def _import_several(sources: Sequence[Path], target: Path, importer: _Import) -> Path:
    """Make the zip of models that predict together; errors as of `import_nnunet`."""
    if target.suffix != ".zip":
        problem = f"{len(sources)} models predict together from a zip, but the output is named {target.name!r}"
        raise InputError(problem, remedy="Name a zip with -o, such as -o ensemble.zip.")
    if target.exists():
        raise InputError("it exists already", file=target, remedy="Choose another name, or move it away first.")
    size = sum(file.stat().st_size for source in sources for file in source.rglob("checkpoint_*.pth"))
    with scratch(size) as folder:
        runs = [Run(folder / "imported" / f"model_{number}" / "nnunet") for number in range(len(sources))]
        for source, run in zip(sources, runs, strict=True):
            info, taken = importer.convert(source, run)
            _introduce(info, taken, importer.console)
        rule = Candidate(
            runs=tuple(run.name for run in runs),
            threshold=PLAIN_THRESHOLD,
            postprocessing=importer.cleaning(info.labels) or PostProcessing(),
            plain=None,
            dice=None,
            reasons=("imported from nnU-Net v2: the mean of all probabilities counts",),
        )
        pack_runs(target, runs, rule, importer.console)
    return target


def _introduce(info: ModelInfo, taken: Sequence[FoldFile], console: Console) -> None:
    network, before = info.plan.network, info.plan.first_stage
    console.say(
        f"{info.plan.reasons[0]}; trainer {info.trainer}\n"
        f"  {network.builder}, {len(network.features)} stages, patch {' x '.join(map(str, info.plan.patch))} "
        f"at {info.plan.spacing_text()}{f'; after {before}, whose masks it is given' if before else ''}\n"
        f"  channels {', '.join(info.channels)}; labels {', '.join(info.labels)}\n"
        f"  fold {', '.join(str(file.fold) for file in taken)}"
    )


@dataclass(frozen=True)
class _Import:
    """How models are taken over; the fields are arguments of `import_nnunet`."""

    folds: Sequence[FoldName] | None
    first_stage: PathLike | None
    postprocessing: PathLike | None
    left: Inventory
    console: Console

    def convert(self, source: Path, target: Run) -> tuple[ModelInfo, list[FoldFile]]:
        """Make the folder of a model, and in it that of a cascade's first stage."""
        refuse_links(source, source / "plans.json", source / "dataset.json")
        plans, description, files = read_plans(source), read_labels(source), find_folds(source, self.folds)
        refuse_links(source, *(file.file for file in files))
        _note_others(source, description, files, self.postprocessing, self.left)
        self.left.require_nothing()
        path = source / "plans.json"
        first = read_fold(files[0])
        configuration = read_configuration(plans, first.configuration, path)
        plan = convert_plan(plans, first.configuration, configuration, description, path)
        info = convert_model(plan, description, first, plans.dataset_name)
        info = replace(info, postprocessing=self.cleaning(info.labels))
        if plan.first_stage:
            self._convert_first_stage(source, info, Run(target.folder / FIRST_STAGE))
        with self.console.progress("Importing", len(files)) as progress:
            for file in files:
                fold = first if file == files[0] else read_fold(file)
                _check_same(first, fold)
                if file.file.name != CHECKPOINTS[0]:
                    self.console.warn(f"fold {file.fold} has no {CHECKPOINTS[0]}; its {file.file.name} is taken")
                save_final(target.fold(file.fold).final, convert_fold(info, fold, configuration.batch_dice))
                progress.advance()
        write_sealed(target.model, info.to_json())
        return info, files

    def cleaning(self, labels: Labels) -> PostProcessing | None:
        """Return the post-processing that is to be taken over; None unless one is."""
        if self.postprocessing is None:
            return None
        path = Path(self.postprocessing)
        return convert_postprocessing(read_postprocessing(path), labels, path)

    def _convert_first_stage(self, source: Path, info: ModelInfo, target: Run) -> None:
        """Make the folder of a cascade's first stage, with all its folds, as it predicts: without post-processing."""
        wanted = info.plan.first_stage
        *own, _ = source.resolve().name.split("__")
        before = Path(self.first_stage) if self.first_stage else source.resolve().with_name("__".join([*own, wanted]))
        if not before.is_dir():
            raise InputError(
                f"this is a cascade, which is given masks of {wanted}, and there is no {before.name} beside it",
                file=source,
                remedy="Put that model's folder there, or name it with --first-stage.",
            )
        first, _ = replace(self, folds=None, first_stage=None, postprocessing=None).convert(before, target)
        if not first.plan.reasons[0].endswith(f", {wanted}"):
            raise InputError(f"this is no model of {wanted}: {first.plan.reasons[0]}", file=before, remedy=USE_NNUNET)
        if (first.labels, first.channels) != (info.labels, info.channels):
            problem = "the cascade's first stage has other labels or channels than its second"
            raise InputError(problem, file=before, remedy="Give the stages of one training.")


def _note_others(
    source: Path,
    description: Description,
    files: Sequence[FoldFile],
    postprocessing: PathLike | None,
    left: Inventory,
) -> None:
    """Note what of nnU-Net's folder is not taken over, as far as it would change a mask."""
    taken = {file.fold for file in files}
    for fold in Run(source).folds():
        if fold.name not in taken:
            left.add("fold", fold.name, "not chosen by --folds", meant=True)
    for path in sorted([*source.glob("postprocessing.*"), *source.glob("crossval_results*/postprocessing.*")]):
        if postprocessing is None:
            left.add("file", path, "nnU-Net's post-processing, not named with --postprocessing", folder=source)
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

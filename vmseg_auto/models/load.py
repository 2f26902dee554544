"""A trained model on disk: what it says of itself, and the weights of its folds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vmseg_auto.data.runs import FoldFolder, FoldName, Run, train_command
from vmseg_auto.models.checkpoints import Checkpoint
from vmseg_auto.models.final_checkpoint import load_final
from vmseg_auto.models.fold_record import settings_of
from vmseg_auto.models.manifest import FIRST_STAGE
from vmseg_auto.models.model import ModelInfo
from vmseg_auto.models.zip import unpacked
from vmseg_auto.utils.atomic import read_stored, refuse_links
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.labels import labels_in_words

Stage = tuple[ModelInfo, list[Checkpoint]]
"""What a model says of itself, and its folds."""


def read_stages(model: Path, folds: Sequence[FoldName] | None) -> list[Stage]:
    """Read a model folder, or the zip of a single model: of a cascade both stages, the first one first.

    Args:
        model: folder or zip.
        folds: which finished folds; all the numbered ones, or else `all`, unless given. A first stage has all of its.

    Raises:
        InputError: it is no model, a zip that is damaged or of several models, a fold asked for is not finished, or a
            file of it is a link leading elsewhere.
    """
    if not model.is_file():
        return _read_folder(Run(model), folds)
    with unpacked(model) as (manifest, folder):
        if len(manifest.models) > 1:
            raise InputError(
                f"it holds {len(manifest.models)} models, which predict together",
                file=model,
                remedy="Use `vmseg_predict -m`, or vmseg_auto.predict(model=...).",
            )
        return _read_folder(Run(folder / manifest.models[0]), folds)


def read_info(run: Run) -> ModelInfo:
    """Read what a model says of itself.

    Raises:
        InputError: it is no model, or its model.json is broken.
    """
    run.require_model()
    return read_stored(ModelInfo, run.model)


def load_fold(folder: FoldFolder, info: ModelInfo) -> Checkpoint:
    """Load the checkpoint of a finished fold.

    Args:
        info: of the model.

    Raises:
        InputError: as `load_final`, or it is that of another fold, trainer, plan or labels than the model's.
    """
    checkpoint = load_final(folder.final)
    require_own(checkpoint, info, folder.name, folder.final)
    return checkpoint


def require_own(checkpoint: Checkpoint, info: ModelInfo, fold: FoldName, file: Path, names_count: bool = True) -> None:
    """Refuse a checkpoint that is not of this fold of this model.

    Args:
        file: for the message.
        names_count: whether labels and channels must have the model's names, rather than only be as many.

    Raises:
        InputError: with what is different.
    """
    found = [f"it is fold {checkpoint.fold}'s"] if str(checkpoint.fold) != str(fold) else []
    if checkpoint.trainer != info.trainer:
        found.append(f"it was trained by the trainer {checkpoint.trainer}, the model by {info.trainer}")
    if checkpoint.plan.content_hash != info.plan.content_hash:
        found.append("it was trained by another plan")
    if len(checkpoint.labels) != len(info.labels) or (names_count and checkpoint.labels != info.labels):
        ours, theirs = labels_in_words(info.labels), labels_in_words(checkpoint.labels)
        found.append(f"its labels are {theirs}, the model's {ours}")
    if len(checkpoint.channels) != len(info.channels) or (names_count and checkpoint.channels != info.channels):
        found.append(f"its channels are {', '.join(checkpoint.channels)}, the model's {', '.join(info.channels)}")
    if found:
        run = Run(file.parent.parent)
        command = run.train_command([fold], settings_of(run, fold)) or train_command([fold])
        raise InputError(
            f"this checkpoint is not of fold {fold} of this model ({'; '.join(found)})",
            file=file,
            remedy=f"`{command}` renews names that changed in dataset.json, and says where the fold must be "
            "trained anew; to predict meanwhile, name other folds with --folds.",
        )


def first_stage_of(run: Run, info: ModelInfo) -> Run | None:
    """Return the first stage of a cascade: within the model's folder in a zip, else beside it; None of other models.

    Raises:
        InputError: it is not there, or of other labels or channels.
    """
    if not info.plan.first_stage:
        return None
    inside = Run(run.folder / FIRST_STAGE)
    first = inside if inside.model.is_file() else Run(run.folder.parent.parent / info.plan.first_stage / info.trainer)
    if not first.model.is_file():
        raise InputError(
            f"this is a cascade's second stage, and the first, {first.name}, is not there",
            file=first.folder,
            remedy="Give the model where it was trained, or the zip that `vmseg_model export` makes of it.",
        )
    other = read_info(first)
    if (other.labels, other.channels) != (info.labels, info.channels):
        problem = "the cascade's stages have different labels or channels"
        raise InputError(problem, file=first.folder, remedy="Train both stages again.")
    return first


def _read_folder(run: Run, folds: Sequence[FoldName] | None) -> list[Stage]:
    refuse_links(run.folder, run.model)
    info = read_info(run)
    finished = run.usable_folds(folds)
    refuse_links(run.folder, *(fold.final for fold in finished))
    first = first_stage_of(run, info)
    before = _read_folder(first, None) if first else []
    return [*before, (info, [load_fold(fold, info) for fold in finished])]

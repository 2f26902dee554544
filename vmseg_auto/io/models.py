"""A trained model on disk: what it says of itself, and the weights of its folds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vmseg_auto.core.errors import InputError
from vmseg_auto.core.model import ModelInfo
from vmseg_auto.core.runs import FoldName, Run
from vmseg_auto.io.atomic import read_stored, refuse_links
from vmseg_auto.io.checkpoints import Checkpoint, load_checkpoint
from vmseg_auto.io.model_zip import unpacked


def read_model(model: Path, folds: Sequence[FoldName] | None) -> tuple[ModelInfo, list[Checkpoint]]:
    """Read a model folder, or the zip of a single model.

    Args:
        model: folder or zip.
        folds: which finished folds; all the numbered ones, or else `all`, unless given.

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
    """What a model says of itself.

    Raises:
        InputError: it is no model, or its model.json is broken.
    """
    run.require_model()
    return read_stored(ModelInfo, run.model)


def _read_folder(run: Run, folds: Sequence[FoldName] | None) -> tuple[ModelInfo, list[Checkpoint]]:
    refuse_links(run.folder, run.model)
    info = read_info(run)
    files = [fold.final for fold in run.usable_folds(folds)]
    refuse_links(run.folder, *files)
    return info, [load_checkpoint(file) for file in files]

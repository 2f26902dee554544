"""The models that predict together: one, or those whose ensemble a workspace has selected."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.data.runs import FoldFolder, Run
from vmseg_auto.data.workspace import Workspace
from vmseg_auto.evaluation.lesion_filter import apply_lesion_filter, with_least
from vmseg_auto.inference.predictor import Backend, Computed, Prediction, Predictor, PreprocessedScan
from vmseg_auto.inference.sliding_window import OnProgress
from vmseg_auto.inference.thresholds import mask_from
from vmseg_auto.models.fold_record import settings_of
from vmseg_auto.models.load import read_info
from vmseg_auto.models.selection_record import Candidate, Selection
from vmseg_auto.models.zip import unpacked
from vmseg_auto.utils.atomic import read_stored
from vmseg_auto.utils.components import apply_postprocessing
from vmseg_auto.utils.console import Console, Silent
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.utils.json_codec import digest
from vmseg_auto.utils.left_out import Inventory
from vmseg_auto.workflows.paths import (
    PathLike,
    first_training,
    places,
    read_fingerprint,
    read_splits,
    trained_on,
    warn_of_stale,
)


class ModelEnsemble:
    """One model, or several whose probabilities are averaged on the scan's own grid: their plans may differ.

    Uncertainty, fold agreement and the Dice to expect are those of the first member alone: runs are calibrated one by
    one. As several are chosen only where they are better than the best of them, that Dice is on the low side. How far
    volumes are off is known of all together.

    Args:
        members: of the same channels and labels, the best first.
        rule: threshold, post-processing and lesion filter of the average; a single member follows its own model.json.
        min_lesion_probability: below which the average's components are left out; as the rule says unless given. A
            single member has been given its own.

    Raises:
        InputError: members that do not tell the same classes apart in the same channels, a rule for other labels, or
            no lesion filter where one is asked for.
    """

    def __init__(
        self,
        members: Sequence[Predictor],
        rule: Candidate | None = None,
        min_lesion_probability: float | None = None,
    ) -> None:
        if rule and len(members) > 1:
            rule = replace(rule, lesion_filter=with_least(rule.lesion_filter, min_lesion_probability))
        self.members, self.rule = members, rule
        self.channels, self.labels = members[0].info.channels, members[0].info.labels
        self.optional = tuple(name for name in self.channels if all(name in one.optional for one in members))
        self.calibration = members[0].info.calibration
        if rule and len(members) > 1 and self.calibration:
            self.calibration = replace(self.calibration, volumes=rule.volumes)
        if any((member.info.channels, member.info.labels) != (self.channels, self.labels) for member in members):
            raise InputError(
                "the runs chosen have different channels or labels",
                remedy="Run `vmseg_select` again, or choose one model with -m.",
            )
        if rule is not None:
            rule.postprocessing.require_labels(self.labels, "selection.json: postprocessing")
        if rule is not None and rule.lesion_filter is not None:
            rule.lesion_filter.check("selection.json: lesion_filter", self.labels)

    @property
    def backend(self) -> Backend:
        """What computes the networks."""
        return self.members[0].backend

    @property
    def asked_least(self) -> float | None:
        """The probability that a user has said, below which components are left out; None where none was said."""
        judge = self.rule.lesion_filter if self._averages and self.rule else self.members[0].info.lesion_filter
        return judge.asked_for if judge else None

    @property
    def _averages(self) -> bool:
        return self.rule is not None and len(self.members) > 1

    def preprocess(self, image: NDArray[np.float32], geometry: Geometry) -> list[PreprocessedScan]:
        """Bring a scan to the grid of each member that predicts: of the first alone where no rule joins them."""
        members = self.members if self.rule is not None else self.members[:1]
        return [member.preprocess(image, geometry) for member in members]

    def compute(self, preprocessed: Sequence[PreprocessedScan], progress: OnProgress = None) -> list[Computed]:
        """Return what the networks of each member say."""
        pairs = zip(self.members, preprocessed, strict=False)
        return [member.compute(one, progress) for member, one in pairs]

    def restore(
        self, computed: Sequence[Computed], image: NDArray[np.float32], probabilities: bool = False
    ) -> Prediction:
        """Return the segmentation of the scan `image` on its own grid."""
        if self.rule is None or len(computed) == 1:
            return self.members[0].restore(computed[0], image, probabilities)
        total = self.members[0].probabilities(computed[0])
        for member, one in zip(self.members[1:], computed[1:], strict=True):
            total += member.probabilities(one)
        total /= len(computed)
        geometry, plain = computed[0].geometry, mask_from(total, self.labels, self.rule.threshold)
        mask = apply_postprocessing(plain, self.rule.postprocessing, self.labels)
        found = apply_lesion_filter(self.rule.lesion_filter, mask, total, image, geometry, self.labels)
        asked = total if probabilities else None
        return Prediction(found.mask, geometry, computed[0].confidence, asked, found.p_lesion, found.left_out)

    def unlike(self, image: NDArray[np.float32], geometry: Geometry) -> list[str]:
        """Describe what sets a scan [C, Z, Y, X] apart from those that the models were trained on; empty where nothing
        does.

        Raises:
            InputError: the scan is empty.
        """
        return list(dict.fromkeys(words for member in self.members for words in member.unlike(image, geometry)))

    def digest(self) -> str:
        """Return a hash of all that decides a mask but the scan."""
        own = [member.digest() for member in self.members]
        if self.rule is None or len(own) == 1:
            return own[0]
        return digest([own, self.rule.threshold, self.rule.postprocessing, self.rule.lesion_filter])


@contextmanager
def models_of(
    model: PathLike | None, dataset: PathLike | None, workspace: PathLike | None, console: Console
) -> Iterator[tuple[list[Run], Candidate | None]]:
    """Yield the runs that predict, the best model first: a model's folder, its zip, or else as `choose_runs`; and how
    they do so together.

    The folders of a zip are there only while this is open.

    Raises:
        InputError: as `choose_runs`, or a zip that is damaged or refused.
    """
    if model is None:
        yield choose_runs(places(dataset, workspace)[1], console)
    else:
        with runs_of(model) as found:
            yield found


@contextmanager
def runs_of(model: PathLike) -> Iterator[tuple[list[Run], Candidate | None]]:
    """Yield the runs of a model that is named, its folder or its zip, as `models_of` does.

    Raises:
        InputError: there is none, the folder is no model's, or a zip is damaged or refused.
    """
    if not str(model).strip():
        raise InputError(
            "no model is named", remedy="Name a model's zip, or its folder WORKSPACE/runs/PLANNER/TRAINER."
        )
    if Path(model).is_dir():
        run = Run(Path(model))
        run.require_model()
        yield [run], None
    else:
        with unpacked(Path(model)) as (manifest, folder):
            yield [Run(folder / name) for name in manifest.models], manifest.rule


def only_channel(model: PathLike | None, dataset: PathLike | None, workspace: PathLike | None) -> str:
    """Return what the scans of the models that predict are called, such as T2.

    Raises:
        InputError: as `models_of`, or they take several channels.
    """
    with models_of(model, dataset, workspace, Silent()) as (runs, _):
        channels = read_info(runs[0]).channels
    if len(channels) > 1:
        problem = f"the model takes {len(channels)} channels, and a series is one"
        raise InputError(problem, remedy="Give it folders of scans, or take a model of one channel.")
    return channels[0]


def note_other_folds(
    run: Run, taken: Sequence[FoldFolder], chosen: bool, left: Inventory, console: Console | None = None
) -> None:
    """Note the folds that are not among those taken.

    Args:
        chosen: whether the user has named these.
        console: is warned where weights that the model once had are gone.
    """
    names = {fold.name for fold in taken}
    gone = [] if chosen or "all" in names else run.gone_folds()
    for fold in gone:
        left.add("fold", fold.folder, "whose weights are gone", folder=run.folder)
    if gone and console:
        which = f"{'fold' if len(gone) == 1 else 'folds'} {', '.join(str(fold.name) for fold in gone)}"
        command = run.train_command([fold.name for fold in gone], settings_of(run, gone[0].name))
        console.warn(
            f"the weights of {which} of {run.name} are gone: masks, volumes and "
            f"uncertainty are those of the other {len(taken)}, and differ from those of all. The expected Dice and the "
            "intervals of volumes were measured with one fold at a time, and count here too"
            + (f"; `{command}` trains it again" if command else "")
        )
    for fold in run.folds():
        if fold.name in names or fold in gone:
            continue
        if chosen:
            left.add("fold", fold.folder, "not chosen", meant=True, folder=run.folder)
        elif fold.final.is_file():
            left.add("fold", fold.folder, "in whose place the numbered ones are taken", meant=True, folder=run.folder)
        else:
            left.add("fold", fold.folder, "not trained to its end", folder=run.folder)


def choose_runs(space: Workspace, console: Console) -> tuple[list[Run], Candidate | None]:
    """Choose the runs of a workspace that predict: selection.json's choice, the best run first, else the only run there
    is.

    Warns of what has changed since.

    Raises:
        InputError: nothing is planned or trained; there are several runs and no selection; a run of the selection is
            gone.
    """
    space.require_planned()
    runs, rule = space.runs(), None
    if space.selection.is_file():
        rule, runs = _selected(space, runs, console)
    elif not runs:
        raise InputError(
            "no model is trained in this workspace yet",
            file=space.root,
            remedy=f"Run `{first_training(space, [0])}` first.",
        )
    elif len(runs) > 1:
        listed = "\n".join(f"  {run.folder}" for run in runs)
        raise InputError(
            "this workspace holds several models",
            remedy=f"Compare them with `vmseg_select`, once all folds are trained, or choose one with -m:\n{listed}",
        )
    warn_of_stale(runs, space, read_fingerprint(space), read_splits(space), console)
    return runs, rule


def _selected(space: Workspace, runs: Sequence[Run], console: Console) -> tuple[Candidate, list[Run]]:
    selection = read_stored(Selection, space.selection)
    known = {run.name: run for run in runs}
    chosen = selection.chosen
    if gone := [name for name in chosen.runs if name not in known]:
        raise InputError(
            f"it chooses {', '.join(gone)}, which is no longer here",
            file=space.selection,
            remedy="Run `vmseg_select` again, or choose a model with -m.",
        )
    for name in chosen.runs:
        if trained_on(space, name) != selection.made_from.get(name):
            console.warn(
                f"the folds of {name} are not those that were selected: some were trained or scored anew since, or are "
                "gone; when all are finished, run `vmseg_select`"
            )
    dice = {candidate.runs: candidate.dice.mean for candidate in selection.candidates if candidate.dice}
    return chosen, [known[name] for name in sorted(chosen.runs, key=lambda name: -dice.get((name,), 0.0))]

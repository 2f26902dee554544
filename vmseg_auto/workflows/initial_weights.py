"""Start a training from another model's weights, of a fold that has not seen the validation cases."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch

from vmseg_auto.data.runs import FoldFolder, FoldName, Run
from vmseg_auto.models.final_checkpoint import load_final
from vmseg_auto.models.fold_record import FoldRecord, read_record
from vmseg_auto.models.hashes import weights_hash
from vmseg_auto.models.model import ModelInfo
from vmseg_auto.models.pretrained import ENDINGS, PretrainedEncoder, read_pretrained
from vmseg_auto.networks.pretrained_encoder import fitted_encoder
from vmseg_auto.networks.transfer import Weights, transfer
from vmseg_auto.networks.transfer_record import Initialisation, Seen, Taken
from vmseg_auto.planning.network import NetworkSpec
from vmseg_auto.utils.atomic import read_stored, write_sealed
from vmseg_auto.utils.console import Console
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.text import listed
from vmseg_auto.workflows.ensemble import runs_of
from vmseg_auto.workflows.paths import PathLike
from vmseg_auto.workflows.seen_scans import OTHER_SCANS, SeenTests, seen_by

_UNRECORDED = (
    "which cases {} was trained on. If patients of this cohort were among them, the scores on validation and test "
    "cases will be too good."
)
_UNKNOWN = Seen(whole=False)
_OTHER_MODEL = "Name another trained model with --init: its zip, or its folder WORKSPACE/runs/PLANNER/TRAINER."


class Start(ABC):
    """Weights to start from: of a fold of another model, or of a pretrained encoder."""

    seen: Seen
    """The scans that they know, those of their own start included."""
    name: str
    dataset: str
    """As in `Initialisation`."""
    model: Path
    """As the user has named it."""

    @property
    def fold(self) -> str:
        """Name of the fold; empty where they are of none."""
        return ""

    @property
    @abstractmethod
    def weights(self) -> dict[str, torch.Tensor]:
        """All of them."""

    @cached_property
    def hash(self) -> str:
        return weights_hash(self.weights)

    def taken_by(self, network: Weights, spec: NetworkSpec) -> tuple[dict[str, torch.Tensor], Taken]:
        """Return the weights of a network with what fits of these in their place, and what was taken.

        Args:
            network: state dict of the network to train.
            spec: of that network.
        """
        return transfer(network, self.weights)

    def ids(self, same_name: bool) -> frozenset[str]:
        """Return the cases that they were trained on; equal ids count where both datasets have the same name."""
        return frozenset()


@dataclass(frozen=True)
class EncoderStart(Start):
    """A pretrained encoder to start from; what it was trained on is not recorded."""

    encoder: PretrainedEncoder
    name: str
    model: Path
    dataset: str = ""
    seen: Seen = _UNKNOWN

    @property
    def weights(self) -> dict[str, torch.Tensor]:
        return self.encoder.weights

    def taken_by(self, network: Weights, spec: NetworkSpec) -> tuple[dict[str, torch.Tensor], Taken]:
        fitted, changed = fitted_encoder(network, spec, self.encoder.weights, self.encoder.stages)
        merged, taken = transfer(network, fitted)
        return merged, replace(taken, changed=changed)


@dataclass(frozen=True)
class FoldStart(Start):
    """A finished fold of another model, to start from.

    Args:
        folder: of that fold.
        record: what it was trained on; None where that is not recorded, as in imported models.
        seen, name, dataset, model: as in `Start`.
    """

    folder: FoldFolder
    record: FoldRecord | None
    seen: Seen
    name: str = ""
    dataset: str = ""
    model: Path = Path()

    @property
    def fold(self) -> str:
        return str(self.folder.name)

    @cached_property
    def weights(self) -> dict[str, torch.Tensor]:
        """Read once and kept: a zip's files are gone when the training begins."""
        return load_final(self.folder.final).weights

    def has_seen(self, record: FoldRecord, same_name: bool) -> list[str]:
        """Return the validation cases of `record` that these weights were trained on.

        Args:
            same_name: whether both datasets have the same name, so that equal ids are the same case with another mask.
        """
        ids = self.ids(same_name)
        return sorted(case for case in record.val if self.seen.holds(record.images[case]) or case in ids)

    def shares_cases(self, record: FoldRecord, same_name: bool) -> bool:
        images = self.record.images if self.record else {}
        same = {*record.images} & {*images} if same_name else set()
        return bool(same or {*record.images.values()} & {*self.seen.images, *images.values()})

    def ids(self, same_name: bool) -> frozenset[str]:
        return frozenset(self.record.train) if self.record and same_name else frozenset()


@contextmanager
def first_weights(model: PathLike, console: Console) -> Iterator[Run | PretrainedEncoder]:
    """Yield the model to start from, as its folder, or a pretrained encoder; the folder of a zip is there only while
    this is open.

    Of a zip with several models the first counts, which is the best.

    Raises:
        InputError: there is no such model or encoder, it is damaged or refused, or no fold of it is finished.
    """
    if Path(model).suffix.lower() in ENDINGS:
        yield read_pretrained(Path(model))
        return
    with runs_of(model) as (runs, _):
        if not runs[0].finished_folds():
            raise InputError("no fold of this model is finished", file=str(model), remedy="Train one first.")
        if len(runs) > 1:
            console.say(f"Of the {len(runs)} models in {model} the training starts from the first.")
        yield runs[0]


def find_starts(
    other: Run | PretrainedEncoder,
    model: Path,
    run: Run,
    dataset: str,
    records: Mapping[FoldName, FoldRecord],
    console: Console,
) -> Mapping[FoldName, Start]:
    """Find for each fold to train the fold of `model` to start from: see `choose_start`.

    Args:
        other: that model or encoder, as `first_weights` gives it.
        model: as the user has named it.
        run: the run that is to be trained.
        dataset: name of its dataset.
        records: the folds to train.
        console: is warned where it is not recorded what the weights have seen.

    Raises:
        InputError: the model is the run itself, or none of its folds is without a validation case.
    """
    if isinstance(other, PretrainedEncoder):
        console.warn(f"it is not recorded {_UNRECORDED.format(model)}")
        return dict.fromkeys(records, EncoderStart(other, other.network, model))
    if other.folder.resolve() == run.folder.resolve():
        raise InputError("a training can't start from the model that it makes", file=model, remedy=_OTHER_MODEL)
    info = read_stored(ModelInfo, other.model, _OTHER_MODEL)
    name = f"{info.plan.planner}/{info.trainer}"
    starts = [
        FoldStart(folder, read_record(folder), seen_by(folder), name, info.dataset, model)
        for folder in other.finished_folds()
    ]
    chosen = {
        fold: choose_start(starts, fold, record, info.dataset == dataset, model) for fold, record in records.items()
    }
    if not all(start.seen.whole for start in chosen.values()):
        console.warn(f"it is not recorded {_UNRECORDED.format(model)}")
    return chosen


def choose_start(
    starts: list[FoldStart], fold: FoldName, record: FoldRecord, same_name: bool, model: Path
) -> FoldStart:
    """Choose the first start that has seen none of the validation cases.

    Of a model of the same cohort the fold of the same name comes first; of one from elsewhere, `all`, then 0, 1, ...

    Args:
        starts: the model's finished folds in order.
        fold, record: what is to be trained.
        same_name: whether both datasets have the same name.
        model: for messages.

    Raises:
        InputError: all have seen validation cases; the cases are named.
    """
    related = any(start.shares_cases(record, same_name) for start in starts)
    first = fold if related else "all"
    ordered = sorted(starts, key=lambda start: start.folder.name != first)
    for start in ordered:
        if not start.has_seen(record, same_name):
            return start
    seen = ordered[0].has_seen(record, same_name)
    untrained = all(start.folder.name != fold for start in starts)
    raise InputError(
        f"fold {fold} can't start from this model: its fold {ordered[0].folder.name} was trained on validation cases "
        f"of fold {fold} ({listed(seen)}), so that their scores would be too good",
        file=model,
        remedy=f"Train fold {fold} of that model first, on the same split."
        if untrained
        else "Start from a model of other patients, or train that model anew on the same split.",
    )


def check_fits(start: Start, network: Weights, spec: NetworkSpec) -> None:
    """Refuse weights of which nothing can be taken.

    Raises:
        InputError: with the reason.
    """
    _, taken = start.taken_by(network, spec)
    if not taken.tensors:
        raise InputError(
            f"none of its weights fit the network of this plan ({', '.join(taken.left)})",
            file=start.model,
            remedy="Start from a model with the same features and kernels, or train without --init.",
        )


def begin_from(
    start: Start, network: torch.nn.Module, spec: NetworkSpec, folder: FoldFolder, tests: SeenTests, console: Console
) -> None:
    """Put the weights into `network`, as far as they fit; what was taken is said and stored in the fold's init.json.

    Args:
        spec: of the network.
        tests: the test cases that the weights know.

    Raises:
        InputError: the weights can't be read.
        VmsegError: the folder can't be written to.
    """
    merged, taken = start.taken_by(network.state_dict(), spec)
    network.load_state_dict(merged)
    about = Initialisation(
        model=str(start.model),
        name=start.name,
        dataset=start.dataset,
        fold=start.fold,
        weights=start.hash,
        seen=start.seen,
        tests=tests.cases,
        taken=taken,
    )
    write_sealed(folder.init, about.to_json())
    of = f"fold {start.fold} of {start.model}" if start.fold else f"the encoder {start.name} of {start.model}"
    console.say(
        f"Fold {folder.name} starts from {of}; {taken.text()}. It was trained on {start.seen.text()}. {OTHER_SCANS}"
    )

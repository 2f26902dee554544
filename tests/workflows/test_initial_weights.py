"""Trainings that start from another model take what fits, and never weights that know their validation cases."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from consoles import Heard
from nnunet_model import PRETRAINED, SPECS, TO_TRAIN, nnunet_model
from raw_dataset import raw_dataset

from vmseg_auto.data.runs import FoldFolder, FoldName, Run
from vmseg_auto.data.workspace import Workspace
from vmseg_auto.models.final_checkpoint import load_final, save_final
from vmseg_auto.models.fold_record import FoldRecord
from vmseg_auto.models.pretrained import read_pretrained
from vmseg_auto.networks.transfer_record import Initialisation, Seen
from vmseg_auto.planning.plan import Plan
from vmseg_auto.planning.training_config import TrainingConfig
from vmseg_auto.utils.atomic import read_stored, write_json
from vmseg_auto.utils.console import Progress, SilentProgress
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.workflows.export import export_model
from vmseg_auto.workflows.initial_weights import FoldStart, choose_start
from vmseg_auto.workflows.model import import_nnunet
from vmseg_auto.workflows.paths import read_fingerprint
from vmseg_auto.workflows.plan import plan_and_preprocess
from vmseg_auto.workflows.train import train

GRID = Geometry((6, 18, 18), (3.0, 0.8, 0.7))
SHORT = (
    "epochs=2",
    "iterations_per_epoch=1",
    "validation_share=0",
    "device_augmentation=on",
    "mirror_axes=[]",
    "tile_step_size=1",
    "amp=false",
)
STILL = (*SHORT, "lr=1e-12", "weight_decay=0")
"""A training that leaves its first weights as they are."""


@dataclass
class Listener(Heard):
    """Stops the training, as Ctrl+C does, once a note holds `stop`."""

    stop: str = "nothing"

    def progress(self, title: str, total: int, done: int = 0) -> Progress:
        return Notes(self.stop)


@dataclass
class Notes(SilentProgress):
    stop: str

    def note(self, *texts: str) -> None:
        if self.stop in ", ".join(texts):
            raise KeyboardInterrupt


def planned(folder: Path, channels: int = 2) -> Workspace:
    """Four cases and the network of the small nnU-Net models."""
    space = plan_and_preprocess(raw_dataset(folder, cases=4, channels=channels, grid=GRID)).workspace
    path = space.plan("default")
    plan = read_stored(Plan, path)
    write_json(path, replace(plan, network=SPECS["plain"], patch=(4, 8, 8)).to_json())
    return space


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two channels, three classes, fold 0."""
    folder = tmp_path_factory.mktemp("imported")
    return import_nnunet(nnunet_model(folder / "theirs"), folder / "ours")


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return planned(tmp_path_factory.mktemp("cohort"))


@pytest.fixture
def space(cohort: Workspace, tmp_path: Path) -> Workspace:
    """A copy to train in."""
    return Workspace(Path(shutil.copytree(cohort.root, tmp_path / "workspace")))


def weights(folder: FoldFolder) -> dict[str, torch.Tensor]:
    return load_final(folder.final).weights


def assert_same(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


def test_init_takes_an_imported_models_encoder_and_says_so(space: Workspace, imported: Path) -> None:
    console = Listener()
    fold = train([0], workspace=space.root, settings=STILL, init=imported, device="cpu", console=console).fold(0)
    text = (
        f"Fold 0 starts from fold 0 of {imported}; taken: encoder 20 of 20 tensors, decoder 16 of 16; "
        "not taken: heads (3 classes there, 2 here). It was trained on scans that are not recorded. "
    )
    assert any(said.startswith(text) for said in console.said)
    (warning,) = console.warned
    assert "it is not recorded which cases" in warning
    assert "validation and test cases" in warning
    source, ours = weights(Run(imported).fold(0)), weights(fold)
    for name, tensor in source.items():
        if not name.startswith("heads."):
            assert torch.allclose(ours[name], tensor, atol=1e-6), name
    about = read_stored(Initialisation, fold.init)
    assert (about.model, about.fold, about.seen, about.tests) == (str(imported), "0", Seen(whole=False), ())
    assert about.taken.left == ("heads (3 classes there, 2 here)",)
    assert read_stored(FoldRecord, fold.record).init == about.weights


def test_another_number_of_channels_costs_the_first_convolution_alone(tmp_path: Path, imported: Path) -> None:
    console = Listener()
    train([0], dataset=planned(tmp_path, channels=1).root.parent, settings=STILL, init=imported, console=console)
    assert any("taken: encoder 18 of 20 tensors" in text for text in console.said)
    assert any("first convolution (image channels: 2 there, 1 here)" in text for text in console.said)


def test_an_interrupted_training_goes_on_and_does_not_start_again(
    cohort: Workspace, space: Workspace, imported: Path, tmp_path: Path
) -> None:
    settings = {"settings": SHORT, "init": imported, "device": "cpu"}
    other = Workspace(Path(shutil.copytree(cohort.root, tmp_path / "uninterrupted")))
    whole = weights(train([0], workspace=other.root, **settings).fold(0))
    with pytest.raises(KeyboardInterrupt):
        train([0], workspace=space.root, **settings, console=Listener(stop="epoch 2/2"))
    console = Listener()
    assert_same(weights(train([0], workspace=space.root, **settings, console=console).fold(0)), whole)
    assert any("goes on after epoch 1" in text for text in console.said)
    assert not any("starts from" in text for text in console.said)


def test_going_on_from_other_first_weights_is_refused(space: Workspace, imported: Path, tmp_path: Path) -> None:
    train([0], workspace=space.root, settings=SHORT, init=imported, device="cpu")
    with pytest.raises(InputError, match=r"first weights: [0-9a-f]{16} against random.*begun with --init .*ours"):
        train([0], workspace=space.root, settings=SHORT, device="cpu")
    changed = Path(shutil.copytree(imported, tmp_path / "changed"))
    path = Run(changed).fold(0).final
    checkpoint = load_final(path)
    checkpoint.weights["heads.0.bias"] += 1
    save_final(path, checkpoint)
    with pytest.raises(InputError, match=r"first weights: [0-9a-f]{16} against [0-9a-f]{16}"):
        train([0], workspace=space.root, settings=SHORT, init=changed, device="cpu")


def test_a_random_start_does_not_go_on_from_a_model(space: Workspace, imported: Path) -> None:
    train([0], workspace=space.root, settings=SHORT, device="cpu")
    with pytest.raises(InputError, match="first weights: random against"):
        train([0], workspace=space.root, settings=SHORT, init=imported, device="cpu")


def test_within_a_cohort_the_fold_of_the_same_number_is_taken(space: Workspace) -> None:
    first = train([0, 1, "all"], workspace=space.root, settings=SHORT, device="cpu")
    console = Listener()
    again = {"workspace": space.root, "trainer": "quick", "settings": SHORT, "init": first.folder, "console": console}
    second = train([1, "all"], **again)
    assert f"Fold 1 starts from fold 1 of {first.folder}; taken: encoder 20 of 20" in "\n".join(console.said)
    assert f"Fold all starts from fold all of {first.folder}; " in "\n".join(console.said)
    assert console.warned == []
    record = read_stored(FoldRecord, first.fold(1).record)
    about = read_stored(Initialisation, second.fold(1).init)
    assert about.seen == Seen(tuple(sorted(record.images[case] for case in record.train)), True, 3)
    assert (about.name, about.dataset) == ("default/default", read_fingerprint(space).dataset)
    with pytest.raises(InputError, match=r"fold 2 can't start.*its fold 0 was trained on validation cases of fold 2"):
        train([2], **again)
    assert not second.fold(2).folder.exists()


def test_a_model_may_be_given_as_its_zip(space: Workspace, imported: Path, tmp_path: Path) -> None:
    packed = export_model(tmp_path / "theirs.zip", model=imported, licence="any")
    by_folder = Workspace(Path(shutil.copytree(space.root, tmp_path / "by_folder")))
    console = Listener()
    run = train([0], workspace=space.root, settings=SHORT, init=packed, device="cpu", console=console)
    assert_same(
        weights(run.fold(0)),
        weights(train([0], workspace=by_folder.root, settings=SHORT, init=imported, device="cpu").fold(0)),
    )
    assert any(f"Fold 0 starts from fold 0 of {packed}; taken: " in text for text in console.said)
    assert any(f"not recorded which cases {packed} was trained on" in text for text in console.warned)
    assert read_stored(Initialisation, run.fold(0).init).model == str(packed)


def test_what_can_not_be_started_from(space: Workspace, imported: Path, tmp_path: Path) -> None:
    begin = {"workspace": space.root, "settings": SHORT, "device": "cpu"}
    own = space.run("default", "default").folder
    shutil.copytree(imported, own)
    with pytest.raises(InputError, match="can't start from the model that it makes"):
        train([0], **begin, init=own)
    shutil.rmtree(own)
    unfinished = Path(shutil.copytree(imported, tmp_path / "unfinished"))
    Run(unfinished).fold(0).final.unlink()
    text = tmp_path / "text.zip"
    text.write_text("no zip")
    console = Listener()
    for model, problem in (
        (tmp_path / "nowhere", "there is no such model. Check the name"),
        ("", "no model is named"),
        (space.root.parent, "this is no model folder: it has no model.json"),
        (text, "this is no zip of a model, or a damaged one"),
        (unfinished, "no fold of this model is finished"),
    ):
        with pytest.raises(InputError, match=problem):
            train([0], **begin, init=model, console=console)
    assert console.said == []
    plan = json.loads(space.plan("default").read_text())
    plan["network"] |= {"features": [2, 2, 2]}
    space.plan("default").write_text(json.dumps(plan))
    with pytest.raises(InputError, match=r"none of its weights fit.*20 tensors of the encoder with another shape"):
        train([0], **begin, init=imported)
    assert not own.exists()


def record_of(train: dict[str, str], val: dict[str, str]) -> FoldRecord:
    """Of cases whose images' hashes are given; those of the masks differ everywhere."""
    images = {**train, **val}
    return FoldRecord(TrainingConfig(), "plan", dict.fromkeys(train, "x"), dict.fromkeys(val, "y"), images=images)


OURS = record_of({"a": "1", "b": "2"}, {"c": "3"})


def start(fold: FoldName, train: dict[str, str], val: dict[str, str], earlier: tuple[str, ...] = ()) -> FoldStart:
    return FoldStart(FoldFolder(Path(f"fold_{fold}")), record_of(train, val), Seen((*train.values(), *earlier)))


def chosen(starts: list[FoldStart], same_name: bool = False) -> FoldName:
    return choose_start(starts, 1, OURS, same_name, Path("model")).folder.name


def test_of_a_model_from_elsewhere_all_is_taken_else_the_first() -> None:
    numbered = [start(0, {"a": "x"}, {"b": "y"}), start(1, {"b": "y"}, {"a": "x"})]
    assert chosen([*numbered, start("all", {"a": "x", "b": "y"}, {})]) == "all"
    assert chosen(numbered) == 0


def test_a_case_that_only_its_image_gives_away() -> None:
    with pytest.raises(InputError, match=r"validation cases of fold 1 \(c\)"):
        chosen([start("all", {"anna": "3"}, {})])


def test_a_case_with_a_changed_image_is_known_by_dataset_and_id() -> None:
    assert chosen([start("all", {"c": "before"}, {})]) == "all"
    with pytest.raises(InputError, match="Train fold 1 of that model first"):
        chosen([start("all", {"c": "before"}, {})], same_name=True)


def test_a_case_seen_by_the_weights_that_those_weights_started_from() -> None:
    with pytest.raises(InputError, match=r"validation cases of fold 1 \(c\)"):
        chosen([start(1, {"z": "9"}, {}, earlier=("3",))])


def test_another_split_of_the_same_cohort() -> None:
    """Fold 1 has seen the case; fold 0 happens not to."""
    starts = [start(0, {"a": "1"}, {"c": "3"}), start(1, {"c": "3"}, {"a": "1"})]
    assert chosen(starts) == 0
    with pytest.raises(InputError, match="anew on the same split"):
        chosen(starts[1:])


@pytest.mark.parametrize("kind", ["flat", "plain"])
def test_a_training_starts_from_a_pretrained_encoder(kind: str, space: Workspace) -> None:
    path = space.plan("default")
    network = (TO_TRAIN | SPECS)[kind]
    write_json(path, replace(read_stored(Plan, path), network=network, patch=(4, 8, 8)).to_json())
    begin = {"workspace": space.root, "settings": STILL, "init": PRETRAINED, "device": "cpu"}
    if kind == "plain":
        with pytest.raises(InputError, match=r"none of its weights fit the network of this plan .* the encoder"):
            train([0], **begin)
        return
    console = Heard()
    fold = train([0], **begin, console=console).fold(0)
    encoder = read_pretrained(PRETRAINED)
    stem = encoder.weights["encoder.stem.convs.0.conv.weight"].mean(dim=2, keepdim=True)
    torch.testing.assert_close(weights(fold)["encoder.0.0.0.weight"], stem.repeat(1, 2, 1, 1, 1) / 2)
    about = read_stored(Initialisation, fold.init)
    assert (about.name, about.fold, about.dataset, about.seen.whole) == ("ResEncL", "", "", False)
    assert about.taken.parts["decoder"].taken == about.taken.parts["heads"].taken == 0
    assert about.taken.changed[0] == "the stem was repeated for 2 channels"
    told = "\n".join(console.said)
    assert f"Fold 0 starts from the encoder ResEncL of {PRETRAINED}; taken: encoder" in told
    assert "to fit, the stem was repeated for 2 channels, 7 kernels averaged along an axis" in told
    assert any("it is not recorded which cases" in text for text in console.warned)

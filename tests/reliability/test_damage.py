"""A damaged, vanishing or unwritable file is named with a remedy, and nothing else is lost."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from small_disk import fill, small_disk

from benchmarks.reliability.commands import command_words
from benchmarks.reliability.kills import digests
from vmseg_auto.cli import evaluate as evaluate_command
from vmseg_auto.cli import plan_and_preprocess as plan_command
from vmseg_auto.cli import predict as predict_command
from vmseg_auto.cli import train as train_command
from vmseg_auto.data.preprocessed import PreprocessedFolder
from vmseg_auto.data.probabilities import read_probabilities
from vmseg_auto.data.workspace import Workspace
from vmseg_auto.evaluation.confidence import ValidationRecord
from vmseg_auto.models.final_checkpoint import load_final
from vmseg_auto.models.fold_record import FoldRecord
from vmseg_auto.models.model import ModelInfo
from vmseg_auto.models.selection_record import Selection
from vmseg_auto.planning.fingerprint import Fingerprint
from vmseg_auto.planning.plan import Plan
from vmseg_auto.utils.atomic import read_json, read_stored
from vmseg_auto.utils.console import Progress, Silent
from vmseg_auto.utils.errors import SomeCasesFailedError, VmsegError
from vmseg_auto.workflows.paths import read_plan
from vmseg_auto.workflows.predict import predict

RUN = "runs/default/default"
SEALED: dict[str, Callable[[Path], object]] = {
    "fingerprint.json": lambda path: read_stored(Fingerprint, path),
    f"{RUN}/model.json": lambda path: read_stored(ModelInfo, path),
    "selection.json": lambda path: read_stored(Selection, path),
    f"{RUN}/fold_0/fold.json": lambda path: read_stored(FoldRecord, path),
    f"{RUN}/fold_0/validation/cases.json": lambda path: read_stored(ValidationRecord, path),
}


@pytest.fixture
def space(cohort: Path) -> Workspace:
    return Workspace(cohort / "vmseg")


def flipped(path: Path, places: Iterator[int] | range) -> Iterator[int]:
    """The file with one byte changed after another; whole again in the end."""
    whole = path.read_bytes()
    for place in places:
        changed = bytearray(whole)
        changed[place] ^= 1 << place % 8
        path.write_bytes(changed)
        yield place
    path.write_bytes(whole)


def scattered(path: Path, count: int) -> range:
    """Places from a file's first byte to its last."""
    size = path.stat().st_size
    return range(0, size, max(1, size // count))


def named(path: Path, read: Callable[[Path], object], whole: object = None) -> bool:
    """Whether the file is refused, by name and with a remedy, or says the same as when it was `whole`."""
    refusal = found = None
    try:
        found = read(path)
    except VmsegError as error:
        refusal = error
    assert refusal is None or (path.name in str(refusal) and refusal.remedy)
    return refusal is not None or (whole is not None and found == whole)


@pytest.mark.parametrize("name", SEALED)
def test_any_flipped_byte_of_what_nobody_edits_is_named(space: Workspace, name: str) -> None:
    path, read = space.root / name, SEALED[name]
    whole = read(path)  # the last digit of a number may not matter
    assert [place for place in flipped(path, range(path.stat().st_size)) if not named(path, read, whole)] == []
    assert not named(path, read)


def test_any_flipped_byte_of_a_plan_is_named_or_taken_for_an_edit(space: Workspace) -> None:
    path = space.plan("default")
    whole = read_plan(space, None)
    about = "reasons", "planned_hash", "fingerprint_hash", "memory_gb", "trainer"

    def told(plan: Plan) -> bool:
        return plan.edited or any(getattr(plan, name) != getattr(whole, name) for name in about)

    for place in flipped(path, range(path.stat().st_size)):
        if not named(path, lambda _: read_plan(space, None), whole):
            assert told(read_plan(space, None)), place


def test_a_flipped_byte_of_a_preprocessed_case_is_named_before_training(space: Workspace) -> None:
    folder = PreprocessedFolder(space.preprocessed(read_plan(space, None).voxels_hash))
    record = folder.folder / "a.json"
    for path in (folder.folder / "a.npy", folder.folder / "labels" / "a.npy", record):
        for place in flipped(path, scattered(path, 40)):
            if not named(path, lambda _: folder.verify("a")):
                assert path != record
                assert 10 < place < 128, "only the padding of the header"


@pytest.mark.parametrize("part", ["checkpoint", "probabilities", "foreground"])
def test_a_flipped_byte_in_an_archive_is_named_or_changes_nothing(space: Workspace, part: str) -> None:
    run = space.runs()[0]
    preprocessed = PreprocessedFolder(space.preprocessed(read_plan(space, None).voxels_hash))
    shape = read_json(space.fingerprint)["cases"]["a"]["shape"]
    reads: dict[str, tuple[Path, Callable[[Path], dict[str, torch.Tensor]]]] = {
        "checkpoint": (run.fold(0).final, lambda path: load_final(path).weights),
        "probabilities": (
            next((run.fold(0).validation / "probabilities").iterdir()),
            lambda path: {"": torch.tensor(read_probabilities(path, "a", 1, tuple(shape)))},
        ),
        "foreground": (
            preprocessed.folder / "foreground" / "a.npz",
            lambda _: {str(k): torch.tensor(v) for k, v in preprocessed.load("a").foreground.items()},
        ),
    }
    path, read = reads[part]
    whole, refused = read(path), 0
    for _ in flipped(path, scattered(path, 150)):
        if named(path, read):
            refused += 1
        else:
            found = read(path)
            assert found.keys() == whole.keys()
            assert all(torch.equal(found[name], whole[name]) for name in whole)
    assert refused > 75


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("imagesTr/a_0000.nii.gz", "plan"),
        ("labelsTr/a.nii.gz", "plan"),
        ("dataset.json", "plan"),
        ("vmseg/plans/default/plan.json", "plan"),
        ("vmseg/splits.json", "plan"),
        ("vmseg/fingerprint.json", "plan"),
        ("vmseg/splits.json", "train"),
        (f"vmseg/{RUN}/fold_0/fold.json", "train"),
        ("imagesTs/s_0000.nii.gz", "predict"),
        (f"vmseg/{RUN}/model.json", "predict"),
        (f"vmseg/{RUN}/fold_1/checkpoint_final.safetensors", "predict"),
        ("vmseg/selection.json", "predict"),
        ("labelsTr/b.nii.gz", "evaluate"),
    ],
)
def test_commands_name_the_damaged_file_and_lose_nothing(cohort: Path, name: str, command: str) -> None:
    path = cohort / name
    data = bytearray(path.read_bytes())
    place = data.index(b'"') if path.suffix == ".json" else len(data) // 2
    data[place] ^= 0x40
    path.write_bytes(data)
    before = path.read_bytes()
    kept = digests(cohort, unreadable=True)
    for changed in (name, "vmseg/dataset.json"):  # which says where the cohort lies, and that was copied
        kept.pop(changed, None)
    place_of = ("-d", cohort, "-w", cohort / "vmseg")
    copied = shutil.copytree(cohort / "labelsTr", cohort.with_name("copied"))
    commands: dict[str, tuple[Callable[[list[str]], int], tuple[object, ...]]] = {
        "plan": (plan_command.main, place_of),
        "train": (train_command.main, (0, *place_of, "--device", "cpu")),
        "predict": (predict_command.main, ("-i", cohort / "imagesTs", "-o", cohort / "out", *place_of)),
        "evaluate": (evaluate_command.main, ("-p", copied, "-r", cohort / "labelsTr")),
    }
    main, arguments = commands[command]
    code, words = command_words(main, *arguments)
    assert code in (2, 3), words
    assert path.name in words
    assert path.read_bytes() == before
    after = digests(cohort, unreadable=True)
    assert {file: after.get(file) for file in kept} == kept


class Removes(Silent):
    """A console that takes a file away when the work on cases begins."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def progress(self, title: str, total: int, done: int = 0) -> Progress:
        self.path.unlink(missing_ok=True)
        return super().progress(title, total, done)


def test_a_scan_that_vanishes_is_named_and_the_others_are_predicted(cohort: Path) -> None:
    gone = cohort / "imagesTs" / "t_0000.nii.gz"
    with pytest.raises(SomeCasesFailedError, match=r"case t.*t_0000\.nii\.gz: .*can't be read"):
        predict(cohort / "imagesTs", cohort / "out", dataset=cohort, device="cpu", jobs=1, console=Removes(gone))
    assert sorted(path.name for path in (cohort / "out").glob("*.nii.gz")) == ["s.nii.gz", "u.nii.gz"]


def test_a_truncated_scan_is_named_and_the_others_are_predicted(cohort: Path) -> None:
    scan = cohort / "imagesTs" / "s_0000.nii.gz"
    scan.write_bytes(scan.read_bytes()[:-1000])
    with pytest.raises(SomeCasesFailedError, match=r"s_0000\.nii\.gz: the file is damaged or cut short"):
        predict(cohort / "imagesTs", cohort / "out", dataset=cohort, device="cpu", jobs=1)
    assert sorted(path.name for path in (cohort / "out").glob("*.nii.gz")) == ["t.nii.gz", "u.nii.gz"]


def test_a_folder_that_can_only_be_read_is_named(cohort: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", kilobytes=4096) as disk:
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        code, words = command_words(
            predict_command.main, "-i", cohort / "imagesTs", "-o", disk / "out", "-d", cohort, "--device", "cpu"
        )
        assert code in (1, 2, 3), words
        assert str(disk) in words
        assert "rights" in words


def test_a_disk_that_fills_up_keeps_what_was_finished(cohort: Path, tmp_path: Path) -> None:
    scans = cohort / "imagesTs"
    with small_disk(tmp_path / "disk", kilobytes=160) as disk:
        out = disk / "out"
        predict(scans / "s_0000.nii.gz", out, dataset=cohort, device="cpu", jobs=1)
        whole = {path.name: path.read_bytes() for path in out.glob("s.*")}
        fill(disk, leave=0)
        with pytest.raises(VmsegError, match=r"it can't be written|space"):
            predict(scans, out, dataset=cohort, device="cpu", jobs=1)
        assert {path.name: path.read_bytes() for path in out.glob("s.*")} == whole
        assert not [path for path in out.iterdir() if path.name.startswith(".")]
        (disk / "filler").unlink()
        masks = predict(scans, out, dataset=cohort, device="cpu", jobs=1)
    assert len(masks) == 3

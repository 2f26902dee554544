"""Consent is withdrawn: a patient leaves whole, all others stay, and what has seen the patient is named."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest
from consoles import Heard
from exports import export, files, key, run
from workspaces import CONFIG, GRID

from vmseg_auto.data.cases import read_dataset
from vmseg_auto.data.dataset_key import read_dataset_key
from vmseg_auto.data.dataset_reviews import DatasetReviews, EarlierMask, MaskHistory
from vmseg_auto.data.made_dataset import MadeDataset
from vmseg_auto.data.reads import Read, Reads
from vmseg_auto.data.workspace import Workspace
from vmseg_auto.utils.atomic import write_sealed
from vmseg_auto.utils.errors import InputError, VmsegError
from vmseg_auto.workflows.paths import read_fingerprint, read_plan, read_splits, record_now
from vmseg_auto.workflows.plan import plan_and_preprocess
from vmseg_auto.workflows.remove_patient import remove_patient

UMLAUT = unicodedata.normalize("NFD", "Müller_Anna")
FIRST = (f"{UMLAUT}/2019", f"{UMLAUT}/2021", *(f"{name}/1" for name in ("ben", "carl", "dora", "ela", "fritz")))


@pytest.fixture
def made(tmp_path: Path) -> Path:
    export(tmp_path, *FIRST)
    run(tmp_path, patients="folders")
    return tmp_path


def trained(space: Workspace) -> None:
    """The records of five folds, as a training writes them, and a mask of each validation case."""
    fingerprint, splits, plan = read_fingerprint(space), read_splits(space), read_plan(space, "default")
    run = space.run("default", "default")
    for number, fold in enumerate(splits.folds):
        write_sealed(run.fold(number).record, record_now(fingerprint, splits, plan, CONFIG, number).to_json())
        for case in fold.val:
            run.fold(number).validation.mkdir(exist_ok=True)
            run.fold(number).mask(case, ".nii.gz").touch()
    run.cross_validation.mkdir()
    for name in ("metrics.csv", "metrics.json"):
        (run.cross_validation / name).touch()
    (space.root / "report.html").touch()


@pytest.mark.parametrize("name", ["Müller_Anna", UMLAUT, "pseudonym"])
def test_a_patient_leaves_whole_and_is_not_taken_again(made: Path, name: str) -> None:
    old, before = key(made), files(made)
    gone = old[f"{UMLAUT}/2019"]
    remove_patient(made / "cohort", gone.patient if name == "pseudonym" else name)
    data = read_dataset(made / "cohort")
    assert len(data.cases) == 5
    assert gone.patient not in data.patients.values()
    after = files(made)
    assert all(content == before[path] for path, content in after.items() if path.name != "dataset.json")
    assert "ller" not in (made / "cohort_key.csv").read_text()
    rows = {row.case: row for row in read_dataset_key(made / "cohort_key.csv")}
    assert {case for case, row in rows.items() if row.removed} == {gone.case, old[f"{UMLAUT}/2021"].case}
    heard = Heard()
    export(made, "gabi/1", first=7)
    run(made, add=True, console=heard)
    assert "scans of patients who were removed are not taken again" in heard.warned[0]
    assert key(made)["gabi/1"].patient == "patient_07"
    assert len(read_dataset(made / "cohort").cases) == 6
    with pytest.raises(InputError, match="was removed before"):
        remove_patient(made / "cohort", gone.patient)


def test_what_readers_have_left_of_the_patient_goes_too(made: Path) -> None:
    """Records of decisions, earlier masks, drafts, and masks that a reader has drawn apart."""
    gone, stays = (next(row for row in key(made).values() if row.scan.startswith(name)) for name in ("ben", "carl"))
    reviews = DatasetReviews.beside(made / "cohort")
    for row in (gone, stays):
        mask = MadeDataset.read(made / "cohort").files(row)[1]
        kept = reviews.earlier(mask, 1)
        reviews.write(MaskHistory(row.case, earlier=(EarlierMask(kept.name, "x"),)))
        reads = Reads.of(reviews.folder, "Dr Ada")
        reads.write(Read(row.case, "Dr Ada", blind=True))
        for path in (kept, reviews.folder / "drafts" / f"{row.case}.draft", reads.mask(row.case)):
            path.parent.mkdir(exist_ok=True)
            path.touch()
    before = {path for path in reviews.folder.rglob("*") if path.is_file()}
    remove_patient(made / "cohort", "ben")
    after = {path for path in reviews.folder.rglob("*") if path.is_file()}
    assert after == {path for path in before if gone.case not in path.name}
    assert len(after) == len(before) / 2 == 5


def test_what_has_seen_the_patient_is_named_and_the_others_stay_in_their_folds(tmp_path: Path) -> None:
    made = tmp_path
    export(made, *FIRST, *(f"patient{n}/1" for n in range(9)), grid=GRID)
    run(made, patients="folders")
    space = plan_and_preprocess(made / "cohort").workspace
    trained(space)
    splits, heard = read_splits(space), Heard()
    cases = {row.case for scan, row in key(made).items() if scan.startswith("M")}
    seen = remove_patient(made / "cohort", UMLAUT, console=heard)
    validation = [number for number, fold in enumerate(splits.folds) if cases & set(fold.val)]
    run_folder = space.run("default", "default").folder
    assert seen.validated == tuple(run_folder / f"fold_{number}" for number in validation)
    assert set(seen.trained) == {run_folder / f"fold_{number}" for number in set(range(5)) - set(validation)}
    assert {path.name for path in seen.own if "preprocessed" in path.parts} == {
        f"{case}.{ending}" for case in cases for ending in ("npy", "npz", "json")
    }
    assert not any(path.exists() for path in seen.own)
    names = {str(path.relative_to(space.root)) for path in seen.shared}
    run_name = "runs/default/default"
    assert {"splits.json", "fingerprint.json", "report.html", f"{run_name}/cross_validation/metrics.csv"} <= names
    said = "\n".join(heard.said)
    assert all(str(path) in said for path in (*seen.trained, *seen.validated))
    assert "Not known here: exported models (zip)" in said
    left = [path for path in space.root.rglob("*") if any(path.name.startswith(case) for case in cases)]
    assert not left
    plan_and_preprocess(made / "cohort")
    now = read_splits(space)
    for old, new in zip(splits.folds, now.folds, strict=True):
        assert set(new.train) == set(old.train) - cases
        assert set(new.val) == set(old.val) - cases


def test_a_fold_that_would_be_empty_is_named(tmp_path: Path) -> None:
    export(tmp_path, *FIRST, grid=GRID)
    run(tmp_path, patients="folders")
    folds = read_splits(plan_and_preprocess(tmp_path / "cohort").workspace).folds
    number, case = next((number, fold.val[0]) for number, fold in enumerate(folds) if len(fold.val) == 1)
    heard = Heard()
    remove_patient(tmp_path / "cohort", read_dataset(tmp_path / "cohort").patients[case], console=heard)
    assert f"fold {number} has no case left on one side" in heard.warned[0]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nobody", "there is no patient nobody.*Give source_patient"),
        ("case_001", "It is a scan of patient_0."),
        ("", "there is no patient"),
    ],
)
def test_who_is_not_there_is_not_removed(made: Path, name: str, words: str) -> None:
    before = files(made)
    with pytest.raises(InputError, match=words):
        remove_patient(made / "cohort", name)
    assert files(made) == before


def test_a_scans_name_or_other_capitals_name_the_patient_and_remove_nothing(made: Path) -> None:
    """Asked to remove one of two scans, nobody may remove both."""
    rows, before = key(made), files(made)
    scan = f"{UMLAUT}/2019"
    patient = rows[scan].patient
    command = rf"`vmseg_make_dataset --remove {patient} -o .*cohort` removes the patient with all scans"
    for name in (scan, rows[scan].case, Path(rows[scan].image).name):
        with pytest.raises(InputError, match=f"there is no patient .*It is a scan of {patient}: {command}"):
            remove_patient(made / "cohort", name)
    for name in (UMLAUT.upper(), patient.upper(), patient.replace("_", "-")):
        with pytest.raises(InputError, match=f"It is spelt almost as a name of {patient}: {command}"):
            remove_patient(made / "cohort", name)
    assert files(made) == before


def test_a_name_that_is_anothers_pseudonym_is_asked_about(tmp_path: Path) -> None:
    export(tmp_path, "patient_02/1", "patient_01/1", "ben/1")
    run(tmp_path, patients="folders")
    rows = [row for row in key(tmp_path).values() if row.source_patient != row.patient and "pat" in row.source_patient]
    assert rows
    with pytest.raises(InputError, match=r"can be patient_0\d, patient_0\d"):
        remove_patient(tmp_path / "cohort", rows[0].source_patient)


def test_nothing_goes_unless_it_is_confirmed(made: Path) -> None:
    before, shown = files(made), list[str]()
    with pytest.raises(InputError, match="nothing is deleted"):
        remove_patient(made / "cohort", "ben", confirm=lambda words: bool(shown.append(words)))
    assert files(made) == before
    row = key(made)["ben/1"]
    assert f"{row.case}_0000.nii.gz" in shown[0]


@pytest.mark.parametrize("reached", range(6))
def test_a_removal_that_was_cut_short_is_seen_and_ended(
    made: Path, reached: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between any two steps (what stands then is as it is left); images 0, 1, masks 2, 3, dataset.json, key."""
    done: list[Path] = []
    real = os.replace

    def killed(source: Path, target: Path) -> None:
        if len(done) == reached:
            os._exit(9)
        done.append(target)
        real(source, target)

    if (child := os.fork()) == 0:
        monkeypatch.setattr(os, "replace", killed)
        remove_patient(made / "cohort", UMLAUT)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    if 0 < reached < 5:
        with pytest.raises(VmsegError):
            read_dataset(made / "cohort")
    remove_patient(made / "cohort", UMLAUT)
    assert len(read_dataset(made / "cohort").cases) == 5
    assert not [path for path in (made / "cohort").rglob("*") if path.name.startswith(".")]


def test_what_can_not_be_deleted_leaves_all_as_it_was(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, key_before, real = files(made), (made / "cohort_key.csv").read_bytes(), os.replace

    def refused(source: Path, target: Path) -> None:
        if "labelsTr" in str(source):
            raise PermissionError(13, "Permission denied")
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", refused)
        with pytest.raises(VmsegError, match="Permission denied"):
            remove_patient(made / "cohort", UMLAUT)
    assert files(made) == before
    assert (made / "cohort_key.csv").read_bytes() == key_before

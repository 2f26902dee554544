"""A training begun anew keeps what was finished until it is finished itself, and goes on where it was stopped."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from consoles import Heard
from raw_dataset import describe
from workspaces import CONFIG, cohort, trained_run

from vmseg_auto.data.runs import FoldFolder
from vmseg_auto.models.checkpoints import save_checkpoint
from vmseg_auto.models.final_checkpoint import load_final
from vmseg_auto.models.fold_record import FoldRecord, settings_of
from vmseg_auto.models.load import load_fold, read_info
from vmseg_auto.utils.atomic import read_stored, write_sealed
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.left_out import Inventory
from vmseg_auto.workflows.fresh_start import begin_folds, begun_fresh, confirm_fresh, drop_replaced, end_fresh, goes_on
from vmseg_auto.workflows.job import Job, open_job
from vmseg_auto.workflows.paths import alike_folds, record_now
from vmseg_auto.workflows.plan import plan_and_preprocess

COMMAND = "vmseg_train 0 --fresh"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished") / "data"
    trained_run(cohort(folder), "default")
    return folder


@pytest.fixture
def dataset(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "data"))


def opened(dataset: Path, console: Heard) -> tuple[Job, FoldFolder, FoldRecord]:
    job = open_job(dataset, None, None, None, (), None, "cpu", 1, Inventory(), console)
    return job, job.run.fold(0), record_now(job.fingerprint, job.splits, job.plan, CONFIG, 0)


def test_a_finished_fold_is_kept_until_the_new_one_is(dataset: Path) -> None:
    heard = Heard()
    job, folder, record = opened(dataset, heard)
    weights = folder.final.read_bytes()
    begin_folds(job, {0: record}, COMMAND)
    assert not folder.final.exists()
    assert FoldFolder(folder.aside).final.read_bytes() == weights
    assert any(str(folder.aside) in text for text in heard.said)
    assert folder.aside not in [fold.folder for fold in job.run.folds()]
    drop_replaced(folder, heard)
    assert not folder.aside.exists()


def test_the_same_command_goes_on_and_another_begins_anew(dataset: Path) -> None:
    job, folder, record = opened(dataset, Heard())
    state = load_final(folder.final)
    begin_folds(job, {0: record}, COMMAND)
    write_sealed(folder.record, record.to_json())
    save_checkpoint(folder.latest, state)
    begin_folds(job, {0: record}, COMMAND)
    assert folder.latest.is_file()
    assert not goes_on(folder, record, "vmseg_train 0 1 --fresh")
    folder.latest.write_bytes(b"damaged")
    assert not goes_on(folder, record, COMMAND), "what can't be gone on from is begun anew"
    end_fresh([folder])
    assert not begun_fresh(folder, COMMAND)


def test_only_finished_folds_are_asked_for(dataset: Path) -> None:
    _, folder, record = opened(dataset, Heard())
    asked: list[str] = []

    def no(question: str) -> bool:
        asked.append(question)
        return False

    confirm_fresh({folder: record}, "", no)
    assert asked == []
    with pytest.raises(InputError, match="nothing was begun"):
        confirm_fresh({folder: record}, COMMAND, no)
    assert "fold_0: finished" in asked[0]
    folder.final.unlink()
    confirm_fresh({folder: record}, COMMAND, no)
    assert len(asked) == 1


def test_a_renamed_label_is_renewed_without_training(dataset: Path) -> None:
    _, folder, record = opened(dataset, Heard())
    write_sealed(folder.record, replace(record, settings=("epochs=20", "mirror_axes=[0, 1]")).to_json())
    before = load_final(folder.final)
    describe(dataset, labels={"background": 0, "malformation": 1})
    heard = Heard()
    plan_and_preprocess(dataset, jobs=1, console=heard)
    (kept,) = [text for text in heard.said if text.startswith("Fold 0 keeps its weights")]
    assert "with old names (lesion, now malformation) to be renewed" in kept
    assert '`vmseg_train 0 --set epochs=20 "mirror_axes=[0, 1]"` does it without training' in kept
    job, folder, record = opened(dataset, heard)
    begin_folds(job, {0: record})
    after = load_fold(folder, read_info(job.run))
    assert after.labels == {"background": 0, "malformation": 1}
    assert all((tensor == before.weights[name]).all() for name, tensor in after.weights.items())


def test_folds_with_other_settings_are_told(dataset: Path) -> None:
    heard = Heard()
    job, folder, record = opened(dataset, heard)
    begin_folds(job, {0: record})
    assert heard.warned == []
    folder.final.unlink()
    folder.record.unlink()
    begin_folds(job, {0: replace(record, config=replace(CONFIG, epochs=77, lr=0.5))})
    (warning,) = heard.warned
    assert warning.startswith("folds 1, 2")
    assert (
        "of default/default had other settings (then against now: epochs: 1 against 77; lr: 0.01 against 0.5)"
        in warning
    )


def test_folds_of_unlike_settings_are_trained_again_by_two_commands(dataset: Path) -> None:
    job, _, record = opened(dataset, Heard())
    for fold in (0, 2):
        write_sealed(job.run.fold(fold).record, replace(record, settings=("epochs=20",)).to_json())
    write_sealed(job.run.fold(1).record, replace(record, settings=("epochs=30",)).to_json())
    assert alike_folds(job.run, [0, 1, 2]) == [[0, 2], [1]]
    assert settings_of(job.run, 1) == ("epochs=30",)


def test_an_older_version_s_fold_is_refused_and_left_as_it_is(dataset: Path) -> None:
    job, folder, record = opened(dataset, Heard())
    other = folder.final.with_name("checkpoint_final.pt")
    folder.final.rename(other)
    for path, command in ((folder.record, ""), (job.run.model, COMMAND)):
        whole = path.read_text()
        data = json.loads(whole)
        data.pop("sha256", None)
        path.write_text(json.dumps({**data, "schema": data["schema"] - 1}))
        with pytest.raises(InputError, match=rf"{path.name} has schema .*plan and train in a new workspace \(-w\)"):
            begin_folds(job, {0: record}, command)
        path.write_text(whole)
        assert other.is_file()
        assert not folder.aside.exists()


def test_a_label_that_was_added_makes_folds_stale(dataset: Path) -> None:
    describe(dataset, labels={"background": 0, "lesion": 1, "vein": 2})
    heard = Heard()
    plan_and_preprocess(dataset, jobs=1, console=heard)
    assert any("labels: lesion 1 against lesion 1, vein 2" in text and "--fresh" in text for text in heard.warned)
    job, _, record = opened(dataset, heard)
    with pytest.raises(InputError, match=r"labels: lesion 1 against lesion 1, vein 2.*--fresh"):
        begin_folds(job, {0: record})
    begin_folds(job, {0: record}, COMMAND)
    assert read_info(job.run).labels == {"background": 0, "lesion": 1, "vein": 2}


def test_a_checkpoint_of_another_fold_or_other_labels_is_refused(dataset: Path) -> None:
    job, folder, _ = opened(dataset, Heard())
    info = read_info(job.run)
    shutil.copy(job.run.fold(1).final, folder.final)
    with pytest.raises(InputError, match=r"not of fold 0 of this model \(it is fold 1's"):
        load_fold(folder, info)
    data = json.loads(job.run.model.read_text())
    data.pop("sha256", None)
    job.run.model.write_text(json.dumps({**data, "labels": {"background": 0, "bone": 1}}))
    with pytest.raises(InputError, match="its labels are lesion 1, the model's bone 1"):
        load_fold(job.run.fold(1), read_info(job.run))


def test_fold_records_keep_labels_and_images(dataset: Path) -> None:
    job, _, record = opened(dataset, Heard())
    assert record.labels == job.fingerprint.labels
    assert record.images.keys() == {*record.train, *record.val}
    write_sealed(job.run.fold(0).record, record.to_json())
    assert read_stored(FoldRecord, job.run.fold(0).record) == record

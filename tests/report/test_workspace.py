"""The report of a workspace, from planned to cross-validated."""

from __future__ import annotations

import re
import shutil
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from workspaces import Cohort, cohort, finished_run, validate_as

from vmseg_auto.data.dataset import Case
from vmseg_auto.data.pseudonym_key import read_key
from vmseg_auto.data.runs import Run
from vmseg_auto.networks.transfer_record import Initialisation, PartTaken, Seen, Taken
from vmseg_auto.report.write import write_report
from vmseg_auto.utils.atomic import read_json, write_sealed
from vmseg_auto.utils.console import Silent
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.tables import read_csv, write_csv
from vmseg_auto.workflows.doctor import doctor
from vmseg_auto.workflows.plan import plan_and_preprocess
from vmseg_auto.workflows.select import select
from vmseg_auto.workflows.validate import finish_run
from vmseg_auto.workflows.validation_cases import validation_cases


def half(case: Case, reference: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Finds half of the lesion; nothing in case a, and another place too in case b."""
    found = reference.copy()
    found[:, :, 7:] = False
    if case.id == "a":
        found[:] = False
    if case.id == "b":
        found[1, 12:15, 12:15] = True
    return np.where(found, 0.9, 0.05).astype(np.float32)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """A cohort of seven with one run, cross-validated by the real code; its folds have a history."""
    made = cohort(tmp_path_factory.mktemp("cohort"), 7)
    run = finished_run(made, "default", half)
    for fold in run.folds():
        rows = [
            {
                "epoch": n,
                "train_loss": 1 / n,
                "val_loss": 2 / n,
                "val_dice": 0.5,
                "gap_train_dice": 0.1 * n,
                "gap_val_dice": 0.05 * n,
            }
            for n in range(1, 9)
        ]
        write_csv(fold.history, list(rows[0]), rows)
    assert finish_run(run, made.space, made.fingerprint, made.splits, made.dataset, Silent())
    select(workspace=made.space.root)
    return made


@pytest.fixture(scope="module")
def page(made: Cohort) -> str:
    return unescape(write_report(workspace=made.space.root).read_text())


def only_run(made: Cohort) -> Run:
    (run,) = made.space.runs()
    return run


def test_the_figures_are_those_of_the_cross_validation(made: Cohort, page: str) -> None:
    run = only_run(made)
    summary = read_json(run.cross_validation / "metrics.json")["summary"]["lesion"]
    for metric in ("dice", "lesion_recall", "nsd"):
        one = summary[metric]
        assert f'<td class="number">{one["mean"]:.3f}</td>' in page
        assert f"{one['low_95']:.3f} to {one['high_95']:.3f}" in page
    assert f"<dd>{summary['dice']['mean']:.2f}</dd>" in page
    key = read_key(made.space.root / "report_key.csv")
    for row in read_csv(run.cross_validation / "metrics.csv"):
        cells = f'<th scope="row">{key[row["case"]]}</th>\n<td>{key[row["case"]]}</td>'
        assert f'{cells}\n<td class="number">{float(row["dice"]):.3f}</td>' in page


def test_every_part_is_there(page: str) -> None:
    for heading in (
        "At a glance", "Cohort", "Plan", "Training", "Cross-validation", "Agreement of volumes", "Suspected outlines",
        "Best, median and worst cases", "Checklist for a paper", "Manifest",
    ):  # fmt: skip
        assert f"{heading}</h" in page
    for words in (
        "7 scans of 7 patients", "Fold 0: gap +0.40 at the end; best validation Dice",
        "1 scan whose outline the model misses wholly",
        "by patient, balanced by lesion volume", "limits of agreement", "For you to write",
    ):  # fmt: skip
        assert words in page


def test_the_checklist_has_all_items_of_both(page: str) -> None:
    section = page.split('id="claim"')[1].split("</section>")[0]
    numbers = re.findall(r'<dt><span class="number">(\d*)</span>', section)
    assert [int(number) for number in numbers if number] == list(range(1, 45))
    beside = " ".join(re.findall(r"TRIPOD\+AI ([^<]*)</span>", section))
    parts = {
        3: "abc",
        5: "ab",
        6: "abc",
        8: "abc",
        9: "abc",
        12: "abcdefg",
        18: "abcdef",
        20: "abc",
        23: "ab",
        27: "abc",
    }
    expected = {f"{number}{part}" for number in range(1, 28) for part in parts.get(number, [""])}
    assert set(re.findall(r"\d+[a-g]?", beside)) == expected


def test_means_say_over_what_and_false_positives_stand_beside_the_precision(made: Cohort, page: str) -> None:
    assert "Mean over scans" in page
    (told,) = re.findall(r"<dt>False positives</dt><dd>([^<]*)</dd>", page)
    rows = read_csv(only_run(made).cross_validation / "metrics.csv")
    assert told == f"{np.mean([float(row['false_positive_lesions']) for row in rows]):.2f} per scan"
    assert "began with random weights" in page


def test_lesions_found_by_false_ones_are_those_of_the_scores(made: Cohort, page: str) -> None:
    section = page.split("Lesions found, and false ones")[1].split("<h4>")[0]
    rows = read_csv(only_run(made).cross_validation / "metrics.csv")
    found, lesions = (sum(float(row[name]) for row in rows) for name in ("lesions_found", "reference_lesions"))
    (at_half,) = [row for row in section.split("<tr>") if ">0.5<" in row.split("</t")[0] + "<"]
    assert f">{found:.0f} of {lesions:.0f}<" in at_half
    assert f"{lesions:.0f} outlined lesions of" in section
    assert "(FROC), lesion" in section


def test_what_a_training_began_with_is_told_with_its_overlap(made: Cohort) -> None:
    run, cases = only_run(made), made.fingerprint.cases
    validation = made.splits.folds[1].val[0]
    other = next(case for case in cases if case not in made.splits.folds[1].val)
    seen = Seen((cases[validation].image_content, cases[other].image_content, "elsewhere"), True, 3)
    taken = Taken({"encoder": PartTaken(3, 4)}, ("heads",))
    for fold, known in ((1, seen), (2, Seen(whole=False))):
        about = Initialisation("/home/anna/model", "default/paper", "heads", "0", "abc123", known, (), taken)
        write_sealed(run.fold(fold).init, about.to_json())
    try:
        words = write_report(workspace=made.space.root).read_text()
    finally:
        for fold in (1, 2):
            run.fold(fold).init.unlink()
    assert "began with weights of default/paper (dataset heads, fold 0, hash abc123), trained on 3 scans of 3" in words
    assert "3 patients: 2 are of this cohort, 1 of them validation cases of this fold; taken" in words
    assert "taken: encoder 3 of 4 tensors" in words
    assert "trained on scans that are not recorded: of those recorded, 0 are of this cohort" in words
    assert "anna" not in words


def test_few_patients_get_no_interval_and_the_reason(tmp_path: Path) -> None:
    few = cohort(tmp_path, 4)
    run = finished_run(few, "default", half)
    assert finish_run(run, few.space, few.fingerprint, few.splits, few.dataset, Silent())
    words = unescape(write_report(workspace=few.space.root).read_text())
    assert "No interval is given: it takes 5 patients, and here are 4." in words
    told = "no agreement of volumes is given: it takes 5 patients with a volume, and here are 4"
    assert f"Lesion: {told}." in words
    assert "95 % interval none: 4 patients" in words
    assert "95 % interval 0" not in words


def test_a_cross_validation_of_other_folds_is_not_shown(tmp_path: Path) -> None:
    made = cohort(tmp_path, 7)
    run = finished_run(made, "default", half)
    assert finish_run(run, made.space, made.fingerprint, made.splits, made.dataset, Silent())
    select(workspace=made.space.root)
    assert "At a glance" in (before := unescape(write_report(workspace=made.space.root).read_text()))
    assert "it is not of the folds as they are now" not in before
    fold = validation_cases(run, made.fingerprint, made.splits, made.dataset)[1]
    validate_as(fold, lambda case, reference: np.float32(0.9) * np.roll(reference, 1, axis=2))
    after = unescape(write_report(workspace=made.space.root).read_text())
    assert "its cross-validation is not shown, as it is not of the folds as they are now" in after
    assert "Other scores by now: " in after
    assert "`vmseg_train 0 1 2 3 4 --planner default --trainer default -w " in after
    assert "each figure is of scans that the" in before
    assert "each figure is of scans that the" not in after
    assert "Sensitivity, per lesion" not in after


@pytest.mark.parametrize(
    ("file", "before", "after", "named"),
    [
        ("cross_validation/metrics.csv", "lesion,", "lesion,x", "line 2, column dice"),
        ("cross_validation/confidence.csv", "traffic_light,dice", "traffic_light,dyce", "lacks the column dice"),
        ("cross_validation/froc.csv", "sensitivity,", "sensitivty,", "lacks the column sensitivity"),
        (
            "cross_validation/froc.csv",
            "lesion,0.5,",
            "lesion,0.55,",
            "has the thresholds 0.1, 0.2, 0.3, 0.4, 0.55, ",
        ),
        ("cross_validation/label_check.csv", "the model", "the,model", "more cells than the header"),
        ("cross_validation/volumes.csv", "reference_ml", "reference_l", "lacks the column reference_ml"),
        ("fold_0/history.csv", "\n2,", "\n1,", "lines 2 and 3 are both of 1"),
        ("cross_validation/metrics.json", '"mean":', '"men":', "damaged, or was changed"),
    ],
)
def test_a_damaged_table_is_named(made: Cohort, file: str, before: str, after: str, named: str) -> None:
    path = only_run(made).folder / file
    sound = path.read_text()
    path.write_text(sound.replace(before, after, 1))
    try:
        with pytest.raises(InputError, match=re.escape(path.name)) as told:
            write_report(workspace=made.space.root)
        assert named in str(told.value)
        assert any(path.name in str(one) for one in doctor(made.space.root).findings)
    finally:
        path.write_text(sound)


def test_a_slice_that_the_scan_has_not_is_named(made: Cohort) -> None:
    path = only_run(made).label_check
    sound, rows = path.read_text(), read_csv(path)
    write_csv(path, tuple(rows[0]), [{**rows[0], "slice": "77"}, *rows[1:]])
    try:
        with pytest.raises(InputError, match=r"label_check\.csv: it names slice 77, but the scan has 8"):
            write_report(workspace=made.space.root)
    finally:
        path.write_text(sound)


def test_it_says_what_it_was_made_from(made: Cohort, page: str) -> None:
    assert made.fingerprint.dataset_hash in page
    assert all(case.content in page for case in made.fingerprint.cases.values())
    assert "12345" in page


def test_no_name_and_no_place_stands_in_it(made: Cohort) -> None:
    long = made.space.root.parent.parent / "named"
    shutil.copytree(made.dataset.cases[0].images[0].parents[1], long)
    for folder, ending in (("imagesTr", "_0000.nii.gz"), ("labelsTr", ".nii.gz")):
        (long / folder / f"a{ending}").rename(long / folder / f"smith_john_1970{ending}")
    shutil.rmtree(long / "vmseg")
    plan_and_preprocess(long, memory_gb=0.01, jobs=1)
    page = write_report(dataset=long).read_text()
    assert "smith_john" not in page
    assert str(long) not in page
    assert "smith_john_1970" in read_key(long / "vmseg" / "report_key.csv")


def test_a_workspace_that_is_planned_only_says_so(tmp_path: Path) -> None:
    made = cohort(tmp_path, 3)
    page = write_report(workspace=made.space.root).read_text()
    assert "Nothing is trained yet." in page
    assert "Not there yet" in page


def test_what_was_trained_before_a_change_is_marked(made: Cohort, tmp_path: Path) -> None:
    shutil.copytree(made.dataset.cases[0].images[0].parents[1], tmp_path / "changed")
    folder = tmp_path / "changed"
    shutil.copy(folder / "labelsTr" / "b.nii.gz", folder / "labelsTr" / "a.nii.gz")
    plan_and_preprocess(folder, memory_gb=0.01, jobs=1)
    assert "Trained before the cohort, the plan or the split changed: fold" in write_report(dataset=folder).read_text()


def test_nothing_planned_and_odd_uses_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing is planned"):
        write_report(workspace=tmp_path)
    with pytest.raises(InputError, match="--images goes with predictions"):
        write_report(workspace=tmp_path, images=tmp_path)
    with pytest.raises(InputError, match=r"ends with \.html"):
        write_report(workspace=tmp_path, output=tmp_path / "report.pdf")

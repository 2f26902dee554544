"""docs/tutorial.md as a reader follows it: every command in its blocks, as it is installed, on made-up patients."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from vmseg_auto.data.dataset import Splits
from vmseg_auto.data.dataset_key import read_dataset_key
from vmseg_auto.data.images.images import read_mask
from vmseg_auto.utils.atomic import read_stored
from vmseg_auto.utils.tables import read_csv

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "tutorial.md"
IDENTITIES = re.compile(
    rb"Ahornfeld|Birkental|Cedersee|Distelmoor|Erlenberg|Fichtenau|Ginstertal|Holderbach|Ilexhof|Jasminweg"
    rb"|MRN\d{6}|2011\d\d17|ACC90\d\d"
)
"""Names, numbers and dates of birth of examples/practice_export.py, in headers and names of folders."""


@dataclass(frozen=True)
class Day:
    """What the commands left, and what they said."""

    folder: Path
    said: str

    def of(self, command: str) -> str:
        """What a command, by its first words, said."""
        return self.said.split(f"\n+ {command}")[1].split("\n+ ")[0]


def commands() -> str:
    return "\n".join(re.findall(r"^```bash\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL))


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Day:
    """All of it in one shell, at whose keyboard somebody says yes."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash")
    folder = tmp_path_factory.mktemp("first_day")
    shutil.copytree(ROOT / "examples", folder / "examples")
    leader, keyboard = os.openpty()
    os.write(leader, b"y\n" * 4)
    place = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": place, "OMP_NUM_THREADS": "1", "PS4": "+ "}
    done = subprocess.run(
        [bash, "-exc", commands()],
        cwd=folder,
        env=environment,
        stdin=keyboard,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1800,
    )
    os.close(keyboard)
    os.close(leader)
    assert done.returncode == 0, done.stdout
    assert "Traceback" not in done.stdout
    return Day(folder / "practice", f"\n{done.stdout}")


def test_the_page_names_the_files_that_are_there(day: Day) -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name in (
        "my_patients_key.csv", "my_patients/vmseg/report.html", "new_masks/Ilexhof_Ida_T2.nii.gz",
        "new_masks/volumes.csv", "new_masks/report_key.csv",
    ):  # fmt: skip
        assert f"`{name}`" in text
        assert (day.folder / name).is_file(), name


def test_the_pairs_are_shown_before_anything_is_written(day: Day) -> None:
    said = day.of("vmseg_make_dataset -i")
    assert said.index("Ahornfeld_Anna.nii.gz") < said.index("Write this dataset?") < said.index("Written to")
    assert "Written to my_patients: 6 training cases, 2 test cases." in said


def test_the_corrected_mask_is_named_and_measured(day: Day) -> None:
    said = day.of("vmseg_report -d my_patients -i new_masks")
    assert "Corrected by hand after it was predicted, and measured as it is now: Ilexhof_Ida_T2." in said
    page = (day.folder / "new_masks" / "report.html").read_text(encoding="utf-8")
    assert "corrected by hand after it was predicted" in page
    mask, geometry = read_mask(day.folder / "corrected" / "Ilexhof_Ida_T2.nii.gz")
    assert f"{mask.sum() * geometry.voxel_ml:.2f} mL" in page


def test_one_patient_joins_and_the_others_stay(day: Day) -> None:
    rows = {row.source_patient: row for row in read_dataset_key(day.folder / "my_patients_key.csv")}
    assert rows["Ilexhof_Ida"].set == "train"
    assert sorted(row.set for row in rows.values()) == ["test"] * 2 + ["train"] * 7
    assert "case_009 joined; the others stay as they were." in day.of("vmseg_plan_and_preprocess -d my_patients\n")
    folds = read_stored(Splits, day.folder / "my_patients" / "vmseg" / "splits.json").folds
    assert sorted(case for fold in folds for case in fold.val) == sorted(
        row.case for row in rows.values() if row.set == "train"
    )
    table = read_csv(
        day.folder / "my_patients" / "vmseg" / "runs" / "default" / "quick" / "cross_validation" / "metrics.csv"
    )
    assert len(table) == 7


def test_planning_says_which_folds_are_to_be_trained_again(day: Day) -> None:
    said = day.of("vmseg_plan_and_preprocess -d my_patients\n")
    assert "training cases added: case_009" in said
    (following,) = [line for line in said.splitlines() if "Go on with" in line]
    assert "--trainer quick --set epochs=2 iterations_per_epoch=4 --fresh -d my_patients`" in following


def test_nobody_is_named_but_where_names_are_wanted(day: Day) -> None:
    """In the export, in keys, and among the masks of an export whose folders bear names."""
    ours = [path for path in day.folder.rglob("*") if path.is_file()]
    source = {day.folder / part for part in ("export", "new_export", "masks", "corrected")}
    named = {
        path.relative_to(day.folder)
        for path in ours
        if not source & set(path.parents)
        and (IDENTITIES.search(path.read_bytes()) or IDENTITIES.search(path.name.encode()))
    }
    cases = {
        Path("new_masks", f"{case}_T2{end}")
        for case in ("Ilexhof_Ida", "Jasminweg_Jan")
        for end in (".nii.gz", ".json")
    }
    previews = {Path("new_masks", "previews", f"{case}_T2_overlay.png") for case in ("Ilexhof_Ida", "Jasminweg_Jan")}
    tables = {Path("new_masks", name) for name in ("volumes.csv", "sources.csv", "report_key.csv")}
    assert named == {Path("my_patients_key.csv"), *tables, *cases, *previews}

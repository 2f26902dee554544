"""vmseg_make_dataset, as it is typed."""

from __future__ import annotations

from pathlib import Path

import pytest
from raw_dataset import GRID, tiny_image, tiny_mask

from vmseg_auto.cli import make_dataset, plan_and_preprocess
from vmseg_auto.data.images.images import write_image, write_mask
from vmseg_auto.utils.geometry import Geometry

NAMES = ("anna", "ben", "carl", "dora", "ela", "fritz")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for place, name in enumerate(NAMES):
        grid = Geometry(GRID.shape, GRID.spacing_mm, (100.0 * place, 0.0, 0.0))
        write_image(tmp_path / "scans" / f"{name}.nii.gz", tiny_image(place), grid)
        write_mask(tmp_path / "masks" / f"{name}.nrrd", tiny_mask(), grid)
    return tmp_path


def command(folder: Path, *options: str) -> list[str]:
    return ["-i", f"{folder / 'scans'}", "-m", f"{folder / 'masks'}", "-o", f"{folder / 'cohort'}", *options]


def test_a_dataset_that_can_be_planned(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert make_dataset.main(command(folder, "--yes", "--test-share", "0.2")) == 0
    out, err = capsys.readouterr()
    assert "anna.nrrd   1 " in out
    assert f"Written to {folder / 'cohort'}: 5 training cases, 1 test case." in out
    assert f"{folder / 'cohort_key.csv'} says who is who. Keep it apart from the dataset" in out
    assert "Warning" not in err
    assert sorted(path.name for path in folder.iterdir()) == ["cohort", "cohort_key.csv", "masks", "scans"]
    assert plan_and_preprocess.main(["-d", str(folder / "cohort"), "--check-only"]) == 0


def test_without_a_terminal_the_pairs_are_shown_and_nothing_is_written(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    assert make_dataset.main(command(folder, "--quiet")) == 2
    err = capsys.readouterr().err
    assert "nothing is written yet; these are the pairs:\ncase " in err
    assert all(f"  {name}.nrrd  " in err for name in NAMES)
    assert "add --yes" in err
    assert sorted(path.name for path in folder.iterdir()) == ["masks", "scans"]


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("", 2), ("no", 2)])
def test_at_a_terminal_it_asks(
    folder: Path, answer: str, code: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: answer)
    assert make_dataset.main(command(folder)) == code
    assert "anna.nrrd" in capsys.readouterr().out
    assert (folder / "cohort").exists() is (code == 0)


@pytest.mark.parametrize("quiet", [False, True])
def test_scans_without_a_mask_are_named_once(folder: Path, quiet: bool, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "masks" / "fritz.nrrd").unlink()
    (folder / "masks" / "notes.dat").write_text("a")
    assert make_dataset.main(command(folder, "--yes", *["--quiet"] * quiet)) == 0
    out, err = capsys.readouterr()
    assert (out + err).count("fritz") == 1
    assert ("fritz" in err) is quiet
    assert err.count("notes.dat") == 1
    assert make_dataset.main(command(folder, "--add")) == 0
    out, err = capsys.readouterr()
    assert "Nothing is new" in out
    assert "1 scan, without a mask: fritz" in err  # no table has shown it
    (folder / "masks" / "notes.dat").unlink()
    (folder / "cohort_key.csv").unlink()
    assert make_dataset.main(command(folder, "-o", str(folder / "other"), "--strict", "--yes")) == 2
    assert "1 scan, without a mask: fritz" in capsys.readouterr().err


@pytest.mark.parametrize("share", ["1", "-0.1", "half"])
def test_an_odd_share_is_refused(folder: Path, share: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert make_dataset.main(command(folder, "--test-share", share)) == 2
    assert f"'{share}' is no share" in capsys.readouterr().err

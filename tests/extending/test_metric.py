"""docs/extending/metric.md: its metric is found, passes its own test, and stands in tables."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from pages import blocks, install, run, run_test

from vmseg_auto.data.images.images import write_mask
from vmseg_auto.evaluation.metrics.score import metrics, score
from vmseg_auto.evaluation.scores import ScoreSummary
from vmseg_auto.utils.atomic import read_stored
from vmseg_auto.utils.errors import InputError, VmsegError
from vmseg_auto.utils.geometry import Geometry
from vmseg_auto.utils.tables import read_csv

PAGE = "extending/metric.md"
MODULE, TEST = blocks(PAGE, "python")
(PROJECT,) = blocks(PAGE, "toml")
GRID = Geometry((2, 4, 4), (4.0, 0.5, 0.5))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of installed packages."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    metrics.cache_clear()
    yield folder
    sys.modules.pop("vmseg_similarity", None)
    metrics.cache_clear()


def test_the_pages_own_test_passes(site: Path) -> None:
    install(PROJECT, {"vmseg_similarity": MODULE}, site)
    assert "4 passed" in run_test(TEST, site)


def test_vmseg_evaluate_has_its_column(site: Path, tmp_path: Path) -> None:
    install(PROJECT, {"vmseg_similarity": MODULE}, site)
    for folder, voxels in (("predicted", 4), ("reference", 12)):
        mask = np.zeros(GRID.shape, np.uint8)
        mask.flat[:voxels] = 1
        (tmp_path / folder).mkdir()
        write_mask(tmp_path / folder / "anna.nii.gz", mask, GRID)
    folders = ("-p", str(tmp_path / "predicted"), "-r", str(tmp_path / "reference"))
    done = run(site, "-m", "vmseg_auto.cli.evaluate", *folders, "-o", str(tmp_path / "scores.csv"))
    assert done.returncode == 0, done.stderr
    (row,) = read_csv(tmp_path / "scores.csv")
    assert list(row)[-1] == "volumetric_similarity"
    assert row["volumetric_similarity"] == "0.5"
    told = read_stored(ScoreSummary, tmp_path / "scores.json")
    assert told.metrics["volumetric_similarity"].computed_by == "vmseg_similarity 1.0"
    assert told.summary["lesion"]["volumetric_similarity"].mean == 0.5


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"volumetric_similarity"', '"dice"', "is called 'dice', which is taken"),
        ('"volumetric_similarity"', '"Similarity (%)"', "can't name a column"),
        ("METRIC = Metric(", "METRIC = dict(", "is no Metric"),
        ("import numpy as np", "import no_such_package", "can't be loaded .ModuleNotFoundError"),
    ],
)
def test_one_that_can_not_be_used_is_named(site: Path, old: str, new: str, words: str) -> None:
    install(PROJECT, {"vmseg_similarity": MODULE.replace(old, new)}, site)
    with pytest.raises(InputError, match=f"the package vmseg-similarity.*{words}"):
        metrics()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("import numpy as np", "import no_such_package", "can't be loaded (ModuleNotFoundError"),
        ("    return", "    return 1 / 0 or", "volumetric_similarity can't be computed (ZeroDivisionError"),
    ],
)
def test_one_that_fails_is_said_once_and_not_for_each_case(
    site: Path, tmp_path: Path, old: str, new: str, words: str
) -> None:
    install(PROJECT, {"vmseg_similarity": MODULE.replace(old, new)}, site)
    for folder, case in product(("predicted", "reference"), "abc"):
        write_mask(tmp_path / folder / f"{case}.nii.gz", np.ones(GRID.shape, np.uint8), GRID)
    folders = ("-p", str(tmp_path / "predicted"), "-r", str(tmp_path / "reference"))
    done = run(site, "-m", "vmseg_auto.cli.evaluate", *folders, "-o", str(tmp_path / "scores.csv"), "--quiet")
    assert done.returncode in (1, 2)
    (line,) = done.stderr.splitlines()
    assert words in line


def test_a_value_beyond_its_range_is_refused(site: Path) -> None:
    install(PROJECT, {"vmseg_similarity": MODULE.replace("high=1.0", "high=0.5")}, site)
    mask = np.ones((1, 2, 2), dtype=bool)
    with pytest.raises(VmsegError, match=r"volumetric_similarity gives 1, which is not in its range \(0 to 0.5\)"):
        score(mask, mask, (1.0, 1.0, 1.0))

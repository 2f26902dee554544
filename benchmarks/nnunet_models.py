"""Models of nnU-Net's configurations, planned and trained by nnU-Net itself, and the masks that it makes with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scipy import ndimage

from benchmarks import data
from benchmarks.nnunet_training import plan_and_preprocess
from benchmarks.tools import Bench, run_once
from vmseg_auto.data.images.images import read_image, write_image
from vmseg_auto.utils.atomic import read_json, write_json

PLANS = "AgreementPlans"
PREDICTED = 10
CHANNEL = f"_0000{data.ENDING}"


@dataclass(frozen=True)
class Sample:
    """What one of nnU-Net's models has segmented.

    Args:
        home: folder for what is made from it.
        model: nnU-Net's folder of it.
        scans: folder of the scans.
        masks: nnU-Net's own masks of them.
    """

    home: Path
    model: Path
    scans: Path
    masks: tuple[Path, ...]


def as_it_is(dataset: Path) -> None:
    """Leave a dataset alone."""


def as_regions(dataset: Path) -> None:
    """Let nnU-Net learn the hippocampus as a whole, and the posterior part of it."""
    labels = {"background": 0, "hippocampus": [1, 2], "posterior": [2]}
    about = read_json(dataset / "dataset.json")
    write_json(dataset / "dataset.json", {**about, "labels": labels, "regions_class_order": [1, 2]})


def with_blurred(dataset: Path) -> None:
    """Add a blurred copy of each scan as a second channel."""
    for path in sorted(dataset.glob(f"images*/*{CHANNEL}")):
        image, geometry = read_image(path)
        blurred = ndimage.gaussian_filter(image, 1.5)
        write_image(path.with_name(path.name.replace("_0000.", "_0001.")), blurred, geometry)
    about = read_json(dataset / "dataset.json")
    write_json(dataset / "dataset.json", {**about, "channel_names": {"0": "T1", "1": "blurred"}})


def cases_of(images: Path) -> list[str]:
    """The cases whose first channel lies in a folder."""
    return sorted(path.name.removesuffix(CHANNEL) for path in images.glob(f"*{CHANNEL}"))


@dataclass(frozen=True)
class NnunetModel:
    """A model that nnU-Net is to train.

    Args:
        name: of the row in the report.
        number: of its dataset in nnU-Net.
        cohort: folder of the test data.
        configurations: trained one after another; a cascade's second stage after its first.
        memory_gb: what they are planned for.
        steps: of each training.
        cases: training cases; None for all.
        fold, planner: nnU-Net's.
        change: what is changed in the dataset.
    """

    name: str
    number: int
    cohort: str
    configurations: tuple[str, ...]
    memory_gb: float
    steps: int
    cases: int | None = 16
    fold: str = "all"
    planner: str = "ExperimentPlanner"
    change: Callable[[Path], None] = as_it_is

    def sample(self, bench: Bench) -> Sample:
        """Train the model, if it is not trained yet, and let nnU-Net predict with it.

        Raises:
            SetupError: nnU-Net is not there, or ends with an error.
        """
        bench.check()
        home = bench.folder(f"nnunet_{self.number}")
        dataset = self._dataset(bench, home / "dataset")
        named = f"Dataset{self.number:03d}_Agreement"
        results = home / "results" / named
        if not (home / "trained.json").is_file():
            plan_and_preprocess(
                bench, home, named, dataset, PLANS, self.memory_gb, self.planner, configurations=self.configurations
            )
            for configuration in self.configurations:
                self._train(bench, home, configuration)
            write_json(home / "trained.json", {"steps": self.steps})
        scans, masks, model = dataset / "imagesTs", home, home
        earlier: tuple[str | Path, ...] = ()
        for configuration in self.configurations:
            model, masks = results / f"nnUNetTrainer__{PLANS}__{configuration}", home / "masks" / configuration
            options = ("-m", model, "-f", self.fold, "-device", "cpu", "--disable_progress_bar", *earlier)
            run_once(bench.theirs("predict_from_modelfolder", "-i", scans, "-o", masks, *options, home=home))
            earlier = ("-prev_stage_predictions", masks)
        return Sample(home, model, scans, tuple(sorted(masks.glob(f"*{data.ENDING}"))))

    def _dataset(self, bench: Bench, folder: Path) -> Path:
        """A dataset of the training cases, with scans to predict in imagesTs."""
        source, count = bench.data / self.cohort, bench.limit or PREDICTED
        data.with_cases(source, folder, cases_of(source / "imagesTr")[: self.cases])
        other = source / "imagesTs"
        asked = cases_of(other)[:count] if other.is_dir() else cases_of(source / "imagesTr")[-count:]
        data.link_scans(other if other.is_dir() else source / "imagesTr", folder / "imagesTs", asked)
        self.change(folder)
        return folder

    def _train(self, bench: Bench, home: Path, configuration: str) -> None:
        """Train a configuration; all but the last predict their cases for the one after them."""
        figures = home / f"{configuration}.json"
        options: list[str | Path] = [
            "--dataset", str(self.number), "--plans", PLANS, "--configuration", configuration, "--fold", self.fold,
            "--steps", str(self.steps), "--save", "--figures", figures,
        ]  # fmt: skip
        if configuration != self.configurations[-1]:
            options.append("--validate")
        run_once(bench.their_driver("nnunet_steps", *options, home=home, figures=figures))


MODELS = (
    NnunetModel(
        "hippocampus53, residual encoder", 56, "hippocampus53", ("3d_fullres",), 0.5, 800, None, "0",
        "nnUNetPlannerResEncM",
    ),
    NnunetModel("vmsemi53, 2d", 57, "vmsemi53", ("2d",), 0.25, 300),
    NnunetModel("vmsemi53, lowres and cascade", 58, "vmsemi53", ("3d_lowres", "3d_cascade_fullres"), 0.1, 300),
    NnunetModel("hippocampus53, regions", 59, "hippocampus53", ("3d_fullres",), 0.1, 400, change=as_regions),
    NnunetModel("hippocampus53, two channels", 60, "hippocampus53", ("3d_fullres",), 0.1, 400, change=with_blurred),
)  # fmt: skip

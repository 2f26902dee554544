"""Which files are mutated, and what reads them: the readers themselves, and whole commands."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.reliability.mutations import (
    Mutation,
    mutate_archive,
    mutate_bytes,
    mutate_checkpoint,
    mutate_json,
    mutate_lines,
    mutate_model_zip,
    mutate_nifti,
    mutate_table,
)

MODEL = "vmseg/runs/default/default"
FOLD = f"{MODEL}/fold_0"


@dataclass(frozen=True)
class Subject:
    """A kind of file.

    Args:
        name: of the kind.
        file: within a cohort that `prepare` has seen.
        mutate: makes another version of it.
        read: takes the cohort's folder and reads the file as the program does.
        named: what an error must name; the file unless given. Nothing for commands, which may stumble over something
            that follows.
    """

    name: str
    file: str
    mutate: Mutation
    read: Callable[[Path], object]
    named: str | None = None

    @property
    def is_command(self) -> bool:
        return self.named == ""


_NO_NUMBER = re.compile(r"\b(?:nan|inf)(?: mL| mm| %| GB| to )")
"""What stands in a text where a number was lost on the way."""


class CommandError(Exception):
    """A command ended otherwise than with its exit codes and in plain words."""


def prepare(cohort: Path) -> None:
    """Add to a trained cohort what it lacks: images of the other formats, its model as a zip, and predictions."""
    from vmseg_auto.io.images import read_image, write_image
    from vmseg_auto.pipeline.export import export_model
    from vmseg_auto.pipeline.predict import predict

    image, geometry = read_image(cohort / "imagesTs" / "s_0000.nii.gz")
    for ending in (".nii", ".mha", ".nrrd"):
        write_image(cohort / f"other/scan{ending}", image, geometry)
    (cohort / "other" / "raw.mha").write_bytes(_uncompressed(cohort / "other" / "scan.mha"))
    export_model(cohort / "model.zip", model=cohort / MODEL, licence="none")
    predict(cohort / "imagesTs", cohort / "masks", model=cohort / MODEL, device="cpu")


def _uncompressed(path: Path) -> bytes:
    import SimpleITK as sitk

    target = path.with_name("plain.mha")
    sitk.WriteImage(sitk.ReadImage(str(path)), str(target), useCompression=False)
    data = target.read_bytes()
    target.unlink()
    return data


def subjects() -> list[Subject]:
    """All kinds."""
    return [*_images(), *_descriptions(), *_arrays(), *_models(), *_reports(), *_cards(), *_commands()]


def _images() -> list[Subject]:
    from vmseg_auto.io.images import read_image, read_mask

    def scan(name: str, file: str, mutate: Mutation) -> Subject:
        return Subject(name, file, mutate, lambda root: read_image(root / file))

    mask = "labelsTr/a.nii.gz"
    return [
        scan("NIfTI", "imagesTs/s_0000.nii.gz", mutate_nifti),
        scan("NIfTI, plain", "other/scan.nii", mutate_nifti),
        scan("MetaImage", "other/scan.mha", mutate_lines),
        scan("MetaImage, plain", "other/raw.mha", mutate_lines),
        scan("NRRD", "other/scan.nrrd", mutate_lines),
        Subject("NIfTI mask", mask, mutate_nifti, lambda root: read_mask(root / mask)),
    ]


def _descriptions() -> list[Subject]:
    from vmseg_auto.core.console import Silent
    from vmseg_auto.core.model import ModelInfo
    from vmseg_auto.core.workspace import Workspace
    from vmseg_auto.io.atomic import read_json
    from vmseg_auto.io.cases import read_dataset
    from vmseg_auto.io.tables import read_csv
    from vmseg_auto.pipeline.places import (
        read_fingerprint,
        read_plan,
        read_record,
        read_source,
        read_splits,
        record_now,
    )

    def space(root: Path) -> Workspace:
        return Workspace(root / "vmseg")

    def split(root: Path) -> object:
        there = space(root)
        splits, plan = read_splits(there), read_plan(there, None)
        record = read_record(there.runs()[0].fold(0))
        assert record is not None
        return record_now(read_fingerprint(there), splits, plan, record.recipe, 0)

    def selection(root: Path) -> object:
        from vmseg_auto.pipeline.committee import choose_runs

        return choose_runs(space(root), Silent())

    def model(root: Path) -> object:
        path = space(root).runs()[0].model
        return ModelInfo.from_json(read_json(path), str(path))

    files: tuple[tuple[str, Callable[[Path], object]], ...] = (
        ("dataset.json", read_dataset), ("vmseg/dataset.json", lambda root: read_source(space(root))),
        ("vmseg/plans/default/plan.json", lambda root: read_plan(space(root), None)),
        ("vmseg/splits.json", split), ("vmseg/fingerprint.json", split), (f"{FOLD}/fold.json", split),
        ("vmseg/runs/default/default/model.json", model),
        ("vmseg/selection.json", selection),
    )  # fmt: skip
    table = f"{FOLD}/validation/metrics.csv"
    return [
        # What is wrong with a fingerprint can come to light as a split that names other cases.
        *(Subject(file, file, mutate_json, read, ".json" if "fingerprint" in file else None) for file, read in files),
        Subject("CSV", table, mutate_table, lambda root: read_csv(root / table)),
    ]


def _arrays() -> list[Subject]:
    from vmseg_auto.core.runs import FoldFolder
    from vmseg_auto.core.workspace import Workspace
    from vmseg_auto.io.images import read_mask
    from vmseg_auto.io.prepared import PreparedFolder
    from vmseg_auto.io.probabilities import read_probabilities
    from vmseg_auto.io.variants import read_variants
    from vmseg_auto.pipeline.places import read_plan

    def case(root: Path) -> object:
        space = Workspace(root / "vmseg")
        return PreparedFolder(space.prepared(read_plan(space, None).voxels_hash)).load("a")

    def probabilities(root: Path) -> object:
        (file,) = (root / FOLD / "validation/probabilities").iterdir()
        mask, _ = read_mask(root / "labelsTr" / "a.nii.gz")
        z, y, x = mask.shape
        return read_probabilities(file, "a", 1, (z, y, x))

    def variants(root: Path) -> object:
        (file,) = (root / FOLD / "validation/efforts").iterdir()
        return read_variants(file, read_mask(root / "labelsTr" / "a.nii.gz")[0])

    folder = FoldFolder(Path(FOLD))
    return [
        Subject("prepared image", "vmseg/prepared/*/a.npy", mutate_bytes, case),
        Subject("prepared mask", "vmseg/prepared/*/labels/a.npy", mutate_bytes, case),
        Subject("prepared foreground", "vmseg/prepared/*/foreground/a.npz", mutate_archive, case),
        Subject("prepared record", "vmseg/prepared/*/a.json", mutate_json, case),
        Subject("probabilities", f"{folder.validation}/probabilities/*.npz", mutate_archive, probabilities),
        Subject("masks of other efforts", f"{folder.validation}/efforts/*.npz", mutate_archive, variants),
    ]


def _models() -> list[Subject]:
    def checkpoint(root: Path) -> object:
        from vmseg_auto.core.workspace import Workspace
        from vmseg_auto.stages.predict import Predictor

        run = Workspace(root / "vmseg").runs()[0]
        return Predictor.load(run.folder, folds=[0], device="cpu")

    def packed(root: Path) -> None:
        from vmseg_auto.core.console import Silent
        from vmseg_auto.pipeline.committee import Committee, models_of
        from vmseg_auto.stages.predict import Predictor

        with models_of(root / "model.zip", None, None, Silent()) as (runs, rule):
            Committee([Predictor.load(run.folder, device="cpu") for run in runs], rule)

    return [
        Subject("checkpoint", f"{FOLD}/checkpoint_final.pt", mutate_checkpoint, checkpoint, "runs/default/default"),
        Subject("model zip", "model.zip", mutate_model_zip, packed),
    ]


def _reports() -> list[Subject]:
    """What the report reads: the tables and JSON of a workspace, and predictions with their scans."""
    from vmseg_auto.core.console import Silent
    from vmseg_auto.core.pseudonyms import true_names
    from vmseg_auto.core.workspace import Workspace
    from vmseg_auto.pipeline.report.patients import gather_predictions
    from vmseg_auto.pipeline.report.predictions import read_predictions
    from vmseg_auto.pipeline.report.workspace import gather_workspace, read_study
    from vmseg_auto.stages.report import render_page

    def workspace(root: Path) -> None:
        study = read_study(root, Workspace(root / "vmseg"), Silent())
        content = gather_workspace(study, true_names(study.patients), identity=False)
        check_page(render_page("workspace", identity=False, **content))

    def predictions(root: Path) -> None:
        found = read_predictions(root / "masks")
        names = true_names({one.sidecar.case: one.scan.patient for one in found})
        check_page(str(gather_predictions(found, names, False, Silent())["patients"]))

    tables = (
        f"{MODEL}/cross_validation/metrics.csv", f"{MODEL}/cross_validation/trust.csv",
        f"{MODEL}/cross_validation/label_check.csv", f"{MODEL}/cross_validation/volumes.csv", f"{FOLD}/history.csv",
    )  # fmt: skip
    values = (
        f"{MODEL}/cross_validation/metrics.json", f"{MODEL}/model.json", f"{FOLD}/fold.json", "vmseg/selection.json",
        "vmseg/splits.json", "vmseg/plans/default/plan.json", "vmseg/fingerprint.json", "vmseg/dataset.json",
    )  # fmt: skip
    return [
        *(Subject(f"report: {file}", file, mutate_table, workspace) for file in tables),
        # A value that can't be can come to light in a file that it contradicts.
        *(Subject(f"report: {file}", file, mutate_json, workspace, ".json") for file in values),
        Subject("report: masks/volumes.csv", "masks/volumes.csv", mutate_table, predictions, "masks"),
        Subject("report: masks/s.json", "masks/s.json", mutate_json, predictions, "masks"),
        Subject("report: masks/s.nii.gz", "masks/s.nii.gz", mutate_nifti, predictions, "masks"),
        Subject("report: imagesTs/s_0000.nii.gz", "imagesTs/s_0000.nii.gz", mutate_nifti, predictions, "imagesTs"),
    ]


def _cards() -> list[Subject]:
    """What the model card is made of: a model's folder, and its zip."""
    from vmseg_auto.pipeline.export import model_info

    def folder(root: Path) -> None:
        check_page(model_info(root / MODEL))

    def packed(root: Path) -> None:
        model_info(root / "model.zip")

    files: tuple[tuple[str, Mutation], ...] = (
        (f"{MODEL}/model.json", mutate_json), (f"{MODEL}/cross_validation/metrics.json", mutate_json),
        ("vmseg/fingerprint.json", mutate_json), (f"{FOLD}/checkpoint_final.pt", mutate_checkpoint),
    )  # fmt: skip
    cards = [Subject(f"card: {file}", file, mutate, folder) for file, mutate in files]
    return [*cards, Subject("card: model.zip", "model.zip", mutate_model_zip, packed)]


def check_page(text: str) -> None:
    """Raises CommandError where a number is shown that is none."""
    if found := _NO_NUMBER.search(text):
        raise CommandError(f"it shows {text[max(0, found.start() - 100) : found.end() + 20]!r}")


def _commands() -> list[Subject]:
    from vmseg_auto.cli import evaluate, model, plan_and_preprocess, predict, report, select, train

    def plan(root: Path) -> None:
        run_command(plan_and_preprocess.main, "-d", root, "--jobs", 1)

    def train_again(root: Path) -> None:
        from benchmarks.reliability.cohort import IN_THREADS, SETTINGS

        run_command(
            train.main,
            0,
            "-d",
            root,
            "-w",
            root / "vmseg",
            "--device",
            "cpu",
            "--jobs",
            1,
            "--set",
            *SETTINGS,
            IN_THREADS,
        )

    def segment(root: Path) -> None:
        place = ("-d", root, "-w", root / "vmseg")
        run_command(
            predict.main, "-i", root / "imagesTs", "-o", root / "out", *place, "--device", "cpu", "--jobs", 1,
            "--save-probabilities",
        )  # fmt: skip

    def segment_with_zip(root: Path) -> None:
        place = ("-i", root / "imagesTs", "-o", root / "out", "-m", root / "model.zip")
        run_command(predict.main, *place, "--device", "cpu", "--jobs", 1)

    def choose(root: Path) -> None:
        run_command(select.main, "-d", root, "--jobs", 1)

    def score(root: Path) -> None:
        run_command(evaluate.main, "-p", root / "labelsTr", "-r", root / "labelsTr", "-o", root / "out.csv")

    def report_workspace(root: Path) -> None:
        run_command(report.main, "-d", root, "-o", root / "out.html", makes=root / "out.html", check=_check_report)

    def report_predictions(root: Path) -> None:
        output = root / "out.html"
        run_command(report.main, "-i", root / "masks", "-o", output, makes=output, check=_check_report)

    def info(root: Path) -> None:
        run_command(model.main, "info", root / MODEL)

    def info_of_zip(root: Path) -> None:
        run_command(model.main, "info", root / "model.zip")

    def export(root: Path) -> None:
        output = root / "out.zip"
        run_command(model.main, "export", "-m", root / MODEL, "-o", output, makes=output, check=_check_zip)

    chosen: tuple[tuple[str, Mutation, Callable[[Path], None]], ...] = (
        ("imagesTr/a_0000.nii.gz", mutate_nifti, plan), ("labelsTr/a.nii.gz", mutate_nifti, plan),
        ("dataset.json", mutate_json, plan), ("vmseg/splits.json", mutate_json, plan),
        ("vmseg/fingerprint.json", mutate_json, plan), ("vmseg/plans/default/plan.json", mutate_json, plan),
        ("vmseg/plans/default/plan.json", mutate_json, train_again), ("vmseg/splits.json", mutate_json, train_again),
        ("vmseg/fingerprint.json", mutate_json, train_again), (f"{FOLD}/fold.json", mutate_json, train_again),
        (f"{FOLD}/validation/held_out.json", mutate_json, train_again),
        (f"{FOLD}/validation/efforts.json", mutate_json, train_again),
        ("imagesTs/s_0000.nii.gz", mutate_nifti, segment),
        ("vmseg/runs/default/default/model.json", mutate_json, segment), ("vmseg/selection.json", mutate_json, segment),
        (f"{FOLD}/checkpoint_final.pt", mutate_checkpoint, segment), ("model.zip", mutate_model_zip, segment_with_zip),
        ("labelsTr/a.nii.gz", mutate_nifti, score),
        (f"{FOLD}/validation/probabilities/*.npz", mutate_archive, choose), ("dataset.json", mutate_json, score),
        (f"{MODEL}/cross_validation/metrics.csv", mutate_table, report_workspace),
        (f"{MODEL}/cross_validation/label_check.csv", mutate_table, report_workspace),
        (f"{MODEL}/cross_validation/volumes.csv", mutate_table, report_workspace),
        (f"{FOLD}/history.csv", mutate_table, report_workspace),
        (f"{MODEL}/cross_validation/metrics.json", mutate_json, report_workspace),
        (f"{MODEL}/model.json", mutate_json, report_workspace), ("vmseg/selection.json", mutate_json, report_workspace),
        ("masks/volumes.csv", mutate_table, report_predictions), ("masks/s.json", mutate_json, report_predictions),
        ("masks/s.nii.gz", mutate_nifti, report_predictions), (f"{MODEL}/model.json", mutate_json, info),
        (f"{MODEL}/cross_validation/metrics.json", mutate_json, info), ("model.zip", mutate_model_zip, info_of_zip),
        (f"{FOLD}/checkpoint_final.pt", mutate_checkpoint, export), (f"{MODEL}/model.json", mutate_json, export),
        (f"{MODEL}/cross_validation/metrics.json", mutate_json, export),
        ("vmseg/fingerprint.json", mutate_json, export),
    )  # fmt: skip
    return [Subject(f"{read.__name__}: {file}", file, mutate, read, named="") for file, mutate, read in chosen]


def run_command(
    main: Callable[[list[str]], int],
    *arguments: object,
    makes: Path | None = None,
    check: Callable[[Path], None] = lambda path: None,
) -> None:
    """Run a command's own entry, in this process, and hold it to its exit codes.

    Args:
        main: the entry.
        arguments: on its command line.
        makes: a file that is there, whole, once the command has done its work, and else is not.
        check: looks at that file; raises CommandError where it is not as it should be.

    Raises:
        CommandError: another exit code, a traceback, an error that was not foreseen, or a wrong file.
    """
    code, words = command_words(main, *arguments)
    if code not in (0, 1, 2, 3) or "Traceback" in words or ": unexpected " in words:
        raise CommandError(f"exit code {code}: {words[-600:]}")
    if makes is None:
        return
    if makes.exists() != (code == 0):
        raise CommandError(f"exit code {code}, and {makes.name} is {'there' if makes.exists() else 'missing'}")
    if code == 0:
        check(makes)


def _check_report(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    if not text.rstrip().endswith("</html>"):
        raise CommandError(f"{page.name} has no end")
    check_page(text.partition('<script type="text/plain" id="viewer">')[0])


def _check_zip(path: Path) -> None:
    from vmseg_auto.pipeline.export import model_info

    model_info(path)  # reads every byte, and compares it with the manifest


def command_words(main: Callable[[list[str]], int], *arguments: object) -> tuple[int, str]:
    """A command's exit code, and all that it says."""
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
        code = main([str(argument) for argument in arguments])
    return code, shown.getvalue()

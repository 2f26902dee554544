"""Which files are mutated, and what reads them: the readers themselves, and whole commands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.reliability.commands import FOLD, MODEL, ON_COMMANDS, check_page
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
    mutate_weights,
)


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


def prepare(cohort: Path) -> None:
    """Add to a trained cohort what it lacks: images of the other formats, its model as a zip, and predictions."""
    from vmseg_auto.data.failures import write_failures
    from vmseg_auto.data.images.images import read_image, write_image
    from vmseg_auto.models.checkpoints import save_checkpoint
    from vmseg_auto.models.final_checkpoint import load_final
    from vmseg_auto.utils.errors import VmsegError
    from vmseg_auto.workflows.export import export_model
    from vmseg_auto.workflows.predict import predict

    image, geometry = read_image(cohort / "imagesTs" / "s_0000.nii.gz")
    for ending in (".nii", ".mha", ".nrrd"):
        write_image(cohort / f"other/scan{ending}", image, geometry)
    (cohort / "other" / "raw.mha").write_bytes(_uncompressed(cohort / "other" / "scan.mha"))
    no_mask = VmsegError("the file is damaged", case="t", file="t_0000.nii.gz", remedy="Export it again.")
    write_failures(cohort / "other", [no_mask], ["t"], "../imagesTs")
    weights = load_final(cohort / FOLD / "checkpoint_final.safetensors")
    save_checkpoint(cohort / "other" / "state.pt", replace(weights, optimizer={"state": {0: weights.weights}}))
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


def _commands() -> list[Subject]:
    return [Subject(f"{read.__name__}: {file}", file, mutate, read, named="") for file, mutate, read in ON_COMMANDS]


def _images() -> list[Subject]:
    from vmseg_auto.data.images.images import read_image, read_mask

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
    from vmseg_auto.data.cases import read_dataset
    from vmseg_auto.data.workspace import Workspace
    from vmseg_auto.models.fold_record import read_record
    from vmseg_auto.models.model import ModelInfo
    from vmseg_auto.utils.atomic import read_json
    from vmseg_auto.utils.console import Silent
    from vmseg_auto.utils.tables import read_csv
    from vmseg_auto.workflows.paths import (
        read_fingerprint,
        read_plan,
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
        return record_now(read_fingerprint(there), splits, plan, record.config, 0)

    def selection(root: Path) -> object:
        from vmseg_auto.workflows.ensemble import choose_runs

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
    from vmseg_auto.data.images.images import read_mask
    from vmseg_auto.data.mask_deltas import read_mask_deltas
    from vmseg_auto.data.preprocessed import PreprocessedFolder
    from vmseg_auto.data.probabilities import read_probabilities
    from vmseg_auto.data.runs import FoldFolder
    from vmseg_auto.data.workspace import Workspace
    from vmseg_auto.workflows.paths import read_plan

    def case(root: Path) -> object:
        space = Workspace(root / "vmseg")
        return PreprocessedFolder(space.preprocessed(read_plan(space, None).voxels_hash)).load("a")

    def probabilities(root: Path) -> object:
        (file,) = (root / FOLD / "validation/probabilities").iterdir()
        mask, _ = read_mask(root / "labelsTr" / "a.nii.gz")
        z, y, x = mask.shape
        return read_probabilities(file, "a", 1, (z, y, x))

    def variants(root: Path) -> object:
        (file,) = (root / FOLD / "validation/budgets").iterdir()
        return read_mask_deltas(file, read_mask(root / "labelsTr" / "a.nii.gz")[0])

    folder = FoldFolder(Path(FOLD))
    return [
        Subject("preprocessed image", "vmseg/preprocessed/*/a.npy", mutate_bytes, case),
        Subject("preprocessed mask", "vmseg/preprocessed/*/labels/a.npy", mutate_bytes, case),
        Subject("preprocessed foreground", "vmseg/preprocessed/*/foreground/a.npz", mutate_archive, case),
        Subject("preprocessed record", "vmseg/preprocessed/*/a.json", mutate_json, case),
        Subject("probabilities", f"{folder.validation}/probabilities/*.npz", mutate_archive, probabilities),
        Subject("masks of other budgets", f"{folder.validation}/budgets/*.npz", mutate_archive, variants),
    ]


def _models() -> list[Subject]:
    def checkpoint(root: Path) -> object:
        from vmseg_auto.data.workspace import Workspace
        from vmseg_auto.inference.predictor import Predictor

        run = Workspace(root / "vmseg").runs()[0]
        return Predictor.load(run.folder, folds=[0], device="cpu")

    def state(root: Path) -> object:
        from vmseg_auto.models.checkpoints import load_checkpoint

        return load_checkpoint(root / "other" / "state.pt")

    def packed(root: Path) -> None:
        from vmseg_auto.inference.predictor import Predictor
        from vmseg_auto.utils.console import Silent
        from vmseg_auto.workflows.ensemble import ModelEnsemble, models_of

        with models_of(root / "model.zip", None, None, Silent()) as (runs, rule):
            ModelEnsemble([Predictor.load(run.folder, device="cpu") for run in runs], rule)

    return [
        Subject(
            "checkpoint", f"{FOLD}/checkpoint_final.safetensors", mutate_weights, checkpoint, "runs/default/default"
        ),
        Subject("training state", "other/state.pt", mutate_checkpoint, state),
        Subject("model zip", "model.zip", mutate_model_zip, packed),
    ]


def _reports() -> list[Subject]:
    """What the report reads: the tables and JSON of a workspace, and predictions with their scans."""
    from vmseg_auto.data.failures import read_failures
    from vmseg_auto.data.pseudonyms import true_names
    from vmseg_auto.data.workspace import Workspace
    from vmseg_auto.report.failed import require_some
    from vmseg_auto.report.patients import gather_predictions
    from vmseg_auto.report.predictions import read_predictions
    from vmseg_auto.report.render import render_page
    from vmseg_auto.report.workspace import gather_workspace, read_study
    from vmseg_auto.utils.console import Silent
    from vmseg_auto.utils.left_out import Inventory

    def workspace(root: Path) -> None:
        study = read_study(root, Workspace(root / "vmseg"), Inventory())
        content = gather_workspace(study, true_names(study.patients), identity=False)
        check_page(render_page("workspace", identity=False, **content))

    def failures(root: Path) -> None:
        read_failures(root / "other")

    def predictions(root: Path) -> None:
        found, failed = read_predictions(root / "masks", None, Inventory())
        require_some([], failed, root)
        names = true_names({one.record.case: one.scan.patient for one in found})
        content, undrawn = gather_predictions(root / "masks", found, names, False, Silent())
        require_some([], undrawn, root)
        check_page(str(content["patients"]))

    tables = (
        f"{MODEL}/cross_validation/metrics.csv", f"{MODEL}/cross_validation/confidence.csv",
        f"{MODEL}/cross_validation/label_check.csv", f"{MODEL}/cross_validation/volumes.csv",
        f"{MODEL}/cross_validation/froc.csv", f"{FOLD}/history.csv",
    )  # fmt: skip
    values = (
        f"{MODEL}/cross_validation/metrics.json", f"{MODEL}/cross_validation/confidence.json", f"{MODEL}/model.json",
        f"{FOLD}/fold.json", "vmseg/selection.json",
        "vmseg/splits.json", "vmseg/plans/default/plan.json", "vmseg/fingerprint.json", "vmseg/dataset.json",
    )  # fmt: skip
    return [
        *(Subject(f"report: {file}", file, mutate_table, workspace) for file in tables),
        # A value that can't be can come to light in a file that it contradicts.
        *(Subject(f"report: {file}", file, mutate_json, workspace, ".json") for file in values),
        Subject(
            "report: other/failed.csv", "other/failed.csv", mutate_table, lambda root: read_failures(root / "other")
        ),
        Subject("report: masks/volumes.csv", "masks/volumes.csv", mutate_table, predictions, "masks"),
        Subject("report: masks/s.json", "masks/s.json", mutate_json, predictions, "masks"),
        Subject("report: masks/s.nii.gz", "masks/s.nii.gz", mutate_nifti, predictions, "masks"),
        Subject("report: imagesTs/s_0000.nii.gz", "imagesTs/s_0000.nii.gz", mutate_nifti, predictions, "imagesTs"),
    ]


def _cards() -> list[Subject]:
    """What the model card is made of: a model's folder, and its zip."""
    from vmseg_auto.workflows.export import model_info

    def folder(root: Path) -> None:
        check_page(model_info(root / MODEL))

    def packed(root: Path) -> None:
        model_info(root / "model.zip")

    files: tuple[tuple[str, Mutation], ...] = (
        (f"{MODEL}/model.json", mutate_json), (f"{MODEL}/cross_validation/metrics.json", mutate_json),
        ("vmseg/fingerprint.json", mutate_json), (f"{FOLD}/checkpoint_final.safetensors", mutate_weights),
    )  # fmt: skip
    cards = [Subject(f"card: {file}", file, mutate, folder) for file, mutate in files]
    return [*cards, Subject("card: model.zip", "model.zip", mutate_model_zip, packed)]

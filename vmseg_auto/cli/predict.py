"""vmseg_predict: segment scans."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from vmseg_auto.cli.common import Parser, Screen, fold_name, make_parser, number, places_of, run, workspace_logs
from vmseg_auto.data.workspace import OutputFolder

_SHARED = (
    "dataset", "workspace", "model", "series", "echo", "spacing", "device", "backend", "jobs", "strict", "identity",
    "pacs", "keep_scans",
)  # fmt: skip


def parser() -> Parser:
    made = make_parser(
        "vmseg_predict",
        "Segment scans with the ensemble of a model's finished folds: a mask for each scan, and their volumes in mL.",
        _SHARED,
        epilog="Example: vmseg_predict -i new_scans -o masks",
    )
    made.add_argument(
        "-i",
        "--input",
        required=True,
        metavar="IN",
        help="a scan, or a folder or zip of scans: DICOM, NIfTI, NRRD, MHA; or pacs:NAME/STUDY_UID, a study of a PACS",
    )
    made.add_argument("-o", "--output", required=True, metavar="OUT", help="folder for masks and volumes.csv")
    made.add_argument(
        "--folds", nargs="+", type=fold_name, metavar="FOLD", help="folds to ensemble (default: all that are finished)"
    )
    made.add_argument("--no-tta", action="store_true", help="up to 8 times faster, a little less accurate")
    made.add_argument(
        "--step-size",
        type=number,
        metavar="SHARE",
        help="distance of windows as a share of the patch (default: as trained, 0.5)",
    )
    made.add_argument(
        "--exhaustive",
        action="store_true",
        help="all folds and mirrorings everywhere, also where cross-validation found less to be enough",
    )
    made.add_argument(
        "--precision",
        choices=("auto", "float32"),
        default="auto",
        help="auto: 16 bits where this machine computes them faster (default); float32: never",
    )
    made.add_argument(
        "--min-lesion-probability",
        type=number,
        metavar="P",
        help="leave out components whose p_lesion is below P; 0 keeps all (default: as cross-validation chose)",
    )
    made.add_argument(
        "--format",
        metavar="LIST",
        default="nifti",
        help="of each mask, one or several with commas between: nifti (default; other image files keep their own "
        "format), seg.nrrd (3D Slicer); of DICOM scans dicom-seg, dicom-rtstruct (contours), dicom-sr (measurements, "
        "with dicom-seg), dicom-sc (pictures); the first one counts in reports",
    )
    made.add_argument("--save-probabilities", action="store_true", help="also write each label's probability")
    made.add_argument(
        "--save-uncertainty",
        action="store_true",
        help="also write a map of how undecided the prediction is at each voxel, from 0 to 1",
    )
    made.add_argument(
        "--previews", action="store_true", help="also draw slices through the lesions (previews/CASE_overlay.png)"
    )
    made.add_argument(
        "--overwrite-edited",
        action="store_true",
        help="also make masks anew that were corrected since; these move to OUT/replaced (default: kept)",
    )
    return made


def work(arguments: argparse.Namespace, screen: Screen) -> None:
    from vmseg_auto.cli.pulling import pulled_study
    from vmseg_auto.pacs.address import is_address

    if not is_address(arguments.input):
        _predict(arguments, arguments.input, screen, scans_stay=True)
        return
    with pulled_study(arguments, screen) as scans:
        _predict(arguments, scans, screen, scans_stay=arguments.keep_scans is not None)


def _predict(arguments: argparse.Namespace, scans: str | Path, screen: Screen, *, scans_stay: bool) -> None:
    from vmseg_auto.workflows.predict import predict

    predict(
        scans,
        arguments.output,
        model=arguments.model,
        **places_of(arguments),
        folds=arguments.folds,
        tta=not arguments.no_tta,
        step=arguments.step_size,
        mask_formats=arguments.format,
        save_probabilities=arguments.save_probabilities,
        save_uncertainty=arguments.save_uncertainty,
        previews=arguments.previews,
        overwrite_edited=arguments.overwrite_edited,
        next_steps=scans_stay,
        scans_stay=scans_stay,
        exhaustive=arguments.exhaustive,
        precision=arguments.precision,
        backend=arguments.backend,
        min_lesion_probability=arguments.min_lesion_probability,
        series=arguments.series,
        echo=arguments.echo,
        spacing_mm=tuple(arguments.spacing) if arguments.spacing else None,
        device=arguments.device,
        jobs=arguments.jobs,
        left=screen.left,
        console=screen,
    )


def logs(arguments: argparse.Namespace) -> Path:
    return OutputFolder(Path(arguments.output)).logs if arguments.model else workspace_logs(arguments)


def main(argv: Sequence[str] | None = None) -> int:
    return run(parser(), work, argv, logs, given=("input", "output", "keep_scans"), fetched="input")


if __name__ == "__main__":
    sys.exit(main())

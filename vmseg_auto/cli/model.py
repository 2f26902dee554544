"""vmseg_model: what is done with a trained model as a whole. One sub-command each."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vmseg_auto.cli.common import Parser, Screen, add_options, bare_parser, fold_name, places_of, run, workspace_logs
from vmseg_auto.data.workspace import OutputFolder


def parser() -> Parser:
    made = bare_parser("vmseg_model", "Bring trained models in, give them away, and look into them.")
    commands = made.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_import(commands)
    _add_export(commands)
    _add_info(commands)
    return made


def _add_import(commands: Any) -> None:
    imports = commands.add_parser(
        "import",
        help="make a model from one that nnU-Net v2 trained",
        description="Make a model folder for vmseg_predict from a trained model of nnU-Net v2. "
        "No code in its checkpoints runs, and nnU-Net need not be installed.",
        epilog="Example: vmseg_model import nnUNetTrainer__nnUNetPlans__3d_fullres -o my_model",
    )
    imports.add_argument(
        "folder",
        nargs="+",
        metavar="NNUNET_MODEL_FOLDER",
        help="folder with plans.json, dataset.json and fold_0, fold_1, ...; several predict together",
    )
    imports.add_argument(
        "-o", "--output", required=True, metavar="MODEL", help="the model folder to make; of several models a zip"
    )
    imports.add_argument("--folds", nargs="+", type=fold_name, metavar="FOLD", help="folds to take (default: all)")
    imports.add_argument(
        "--first-stage", metavar="FOLDER", help="of a cascade, its first stage (default: the folder beside it)"
    )
    imports.add_argument(
        "--postprocessing", metavar="JSON", help="nnU-Net's postprocessing.json, to be done to masks (default: nothing)"
    )
    add_options(imports, ("strict",))
    imports.set_defaults(work=_import, logs=lambda arguments: OutputFolder(Path(arguments.output)).logs)


def _add_export(commands: Any) -> None:
    exports = commands.add_parser(
        "export",
        help="pack a trained model into a zip, to be given away",
        description="Pack a model into a zip for vmseg_predict -m: weights, plan, calibration, a model card and the "
        "cohort in numbers, without any image or name of a case. Without -m it is what vmseg_predict would take.",
        epilog='Example: vmseg_model export -o our_model.zip --licence "CC BY-NC 4.0"',
    )
    add_options(exports, ("dataset", "workspace", "model", "strict"))
    exports.add_argument("-o", "--output", required=True, metavar="ZIP", help="the zip to make")
    exports.add_argument(
        "--folds", nargs="+", type=fold_name, metavar="FOLD", help="folds to pack (default: all that are finished)"
    )
    exports.add_argument("--name", metavar="NAME", help="the model's name (default: the zip's)")
    exports.add_argument("--licence", metavar="TEXT", default="", help="what others may do with it, in your words")
    exports.add_argument(
        "--onnx", action="store_true", help="also write each fold's network as ONNX, into the folder ZIP_onnx"
    )
    exports.set_defaults(work=_export, logs=lambda arguments: None if arguments.model else workspace_logs(arguments))


def _add_info(commands: Any) -> None:
    info = commands.add_parser(
        "info",
        help="check a model's zip, and show its card",
        description="Compare every file in a model's zip with its SHA-256, and show its model card; of a model folder, "
        "the card that it would get.",
        epilog="Example: vmseg_model info our_model.zip",
    )
    info.add_argument("model", metavar="MODEL", help="a model's zip or folder")
    add_options(info, ("strict",))
    info.set_defaults(work=_info, logs=lambda arguments: None)


def _import(arguments: argparse.Namespace, screen: Screen) -> None:
    from vmseg_auto.workflows.model import import_nnunet

    import_nnunet(
        arguments.folder,
        arguments.output,
        folds=arguments.folds,
        first_stage=arguments.first_stage,
        postprocessing=arguments.postprocessing,
        left=screen.left,
        console=screen,
    )


def _export(arguments: argparse.Namespace, screen: Screen) -> None:
    from vmseg_auto.workflows.export import export_model

    export_model(
        arguments.output,
        model=arguments.model,
        **places_of(arguments),
        folds=arguments.folds,
        name=arguments.name,
        licence=arguments.licence,
        onnx=arguments.onnx,
        left=screen.left,
        console=screen,
    )


def _info(arguments: argparse.Namespace, screen: Screen) -> None:
    from vmseg_auto.workflows.export import model_info

    model_info(arguments.model, left=screen.left, console=screen)


def work(arguments: argparse.Namespace, screen: Screen) -> None:
    arguments.work(arguments, screen)


def logs(arguments: argparse.Namespace) -> Path | None:
    folder: Path | None = arguments.logs(arguments)
    return folder


def main(argv: Sequence[str] | None = None) -> int:
    return run(parser(), work, argv, logs)


if __name__ == "__main__":
    sys.exit(main())

"""vmseg_model: what is done with a trained model as a whole. One sub-command each."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from vmseg_auto.cli.common import Parser, Screen, add_options, fold_name, run
from vmseg_auto.core.workspace import OutputFolder


def parser() -> Parser:
    made = Parser(prog="vmseg_model", description="Bring in trained models.")
    commands = made.add_subparsers(title="commands", metavar="COMMAND", required=True)
    imports = commands.add_parser(
        "import",
        help="make a model from one that nnU-Net v2 trained",
        description="Make a model folder for vmseg_predict from a trained model of nnU-Net v2. "
        "No code in its checkpoints runs, and nnU-Net need not be installed.",
        epilog="Example: vmseg_model import nnUNetTrainer__nnUNetPlans__3d_fullres -o my_model",
    )
    imports.add_argument(
        "folder", metavar="NNUNET_MODEL_FOLDER", help="folder with plans.json, dataset.json and fold_0, fold_1, ..."
    )
    imports.add_argument("-o", "--output", required=True, metavar="MODEL", help="the model folder to make")
    imports.add_argument("--folds", nargs="+", type=fold_name, metavar="FOLD", help="folds to take (default: all)")
    add_options(imports, ())
    imports.set_defaults(work=_import)
    return made


def _import(arguments: argparse.Namespace, screen: Screen) -> None:
    from vmseg_auto.pipeline.model import import_nnunet

    import_nnunet(arguments.folder, arguments.output, folds=arguments.folds, console=screen)


def work(arguments: argparse.Namespace, screen: Screen) -> None:
    arguments.work(arguments, screen)


def logs(arguments: argparse.Namespace) -> Path:
    return OutputFolder(Path(arguments.output)).logs


def main(argv: Sequence[str] | None = None) -> int:
    return run(parser(), work, argv, logs)


if __name__ == "__main__":
    sys.exit(main())

"""Planners, trainers and loggers by name or "module:Class", through entry points."""

from __future__ import annotations

import importlib
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, cast

from vmseg_auto.contracts import Logger, Planner, Trainer
from vmseg_auto.planning.plan import PLUGIN_NAME
from vmseg_auto.utils.entry_points import load_entry
from vmseg_auto.utils.errors import InputError


def load_planner(name: str) -> Planner:
    """Load an installed planner ("default"), or one of the user's own ("my_module:MyPlanner").

    Raises:
        InputError: it is not there, or is no planner.
    """
    return cast(Planner, _load("planner", "vmseg_auto.planners", name, needs=()))


def load_trainer(name: str) -> Trainer:
    """Load an installed trainer ("default"), or one of the user's own ("my_module:MyTrainer").

    Raises:
        InputError: it is not there, or is no trainer.
    """
    return cast(Trainer, _load("trainer", "vmseg_auto.trainers", name, needs=("config",)))


def load_logger(name: str) -> Logger:
    """Load an installed logger ("tensorboard"), or one of the user's own ("my_module:MyLogger").

    Raises:
        InputError: it is not there, is no logger, or needs an extra that is not installed.
    """
    return cast(Logger, _load("logger", "vmseg_auto.loggers", name, needs=()))


def names(group: str) -> list[str]:
    """List the names installed under an entry-point group, sorted."""
    return sorted(entry_points(group=group).names)


def _load(kind: str, group: str, name: str, needs: tuple[str, ...]) -> Any:
    if ":" in name:
        made = _import(kind, name)
        plugin = made() if isinstance(made, type) else made
    else:
        installed = entry_points(group=group)
        if name not in installed.names:
            raise InputError(
                f"there is no {kind} {name!r}",
                remedy=f"Installed are: {', '.join(names(group)) or 'none'}. For one of your own write module:Class.",
            )
        plugin = load_entry(installed[name], kind)
    lacks = [attribute for attribute in ("name", "__call__", *needs) if not hasattr(plugin, attribute)]
    if lacks:
        raise InputError(f"{name!r} is no {kind}: it lacks {', '.join(lacks)}", remedy="See docs/architecture.md.")
    if not PLUGIN_NAME.fullmatch(plugin.name):
        raise InputError(
            f"the {kind}'s name {plugin.name!r} can't name a folder", remedy="Use letters, digits, _ and -."
        )
    return plugin


def _import(kind: str, name: str) -> Any:
    module_name, _, attribute = name.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:  # the user's own file lies beside the data; nothing there stands in for what is installed
        sys.path.append(here)
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise InputError(
            f"the {kind} {name!r} can't be imported ({error})",
            remedy="Write module:Class, with module.py in the current directory or installed.",
        ) from error

"""What this program runs on. Loads nothing heavy."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = (
    "vmseg_auto", "torch", "SimpleITK", "numpy", "scipy", "scikit-image", "batchgenerators", "pandas",
    "matplotlib", "filelock",
)  # fmt: skip


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that results depend on, or "not installed"."""
    found = {"Python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def machine() -> dict[str, str]:
    """Return name, system, processor and memory."""
    about = {
        "host": platform.node(),
        "system": platform.platform(),
        "Python at": sys.executable,
        "CPU cores": _cores(),
    }
    if memory := _memory_bytes():
        about["memory"] = f"{memory / 2**30:.3g} GiB"
    return about


def _cores() -> str:
    """Describe how many cores there are, and how many of them this process may use, as on a cluster."""
    total = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else total
    return f"{total}" if usable == total else f"{usable} of {total}"


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # Windows
        return None

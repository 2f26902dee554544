"""Files of torch.save, checked byte by byte and read without running code."""

from __future__ import annotations

import pickle
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, BadZipFile, ZipFile

import torch
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from vmseg_auto.core.errors import DamagedError, InputError

StandIn = tuple[Callable[..., Any], str]
"""What is called in place of a global that the file names."""


def load_archive(path: Path, *, missing: str, remedy: str, stand_ins: Sequence[StandIn] = ()) -> Any:
    """Read tensors, numbers and texts onto the CPU, with `weights_only=True`: no code in the file can run.

    Args:
        missing: remedy where there is no such file.
        remedy: remedy where the file can't be used.
        stand_ins: for globals beyond tensors that the file may name; the globals themselves are never called.

    Raises:
        DamagedError: the file is damaged, or holds other objects than these.
        InputError: it is missing, or may not be read.
    """
    try:
        with safe_globals(list(stand_ins)):
            _verify(path)
            if foreign := sorted(get_unsafe_globals_in_checkpoint(path)):
                raise DamagedError(
                    f"the checkpoint is damaged or from elsewhere: it holds {', '.join(foreign[:3])}, and objects "
                    "other than tensors, numbers and texts are never loaded",
                    file=path,
                    remedy=remedy,
                )
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError("the checkpoint does not exist", file=path, remedy=missing) from None
    except PermissionError as error:
        raise InputError(
            f"the checkpoint can't be read ({error.strerror})", file=path, remedy="Check the file's rights."
        ) from error
    except (
        OSError, RuntimeError, EOFError, ValueError, TypeError, AttributeError, AssertionError, LookupError,
        ArithmeticError, BadZipFile, zlib.error, pickle.UnpicklingError,
    ) as error:  # fmt: skip
        raise DamagedError("the checkpoint is damaged or from elsewhere", file=path, remedy=remedy) from error


def _verify(path: Path) -> None:
    """Check what torch.load does not: it compares no checksum, and gives unset memory for an entry marked a folder.

    Raises:
        BadZipFile: some byte that matters has changed, or an entry is compressed, which torch.save never does: it
            could grow beyond all memory. Other errors of the zip reader mean the same.
    """
    with ZipFile(path) as archive:
        entries = archive.infolist()
        odd = [e.filename for e in entries if e.external_attr & 0x10 or e.compress_type != ZIP_STORED]
        if damaged := next(iter(odd), None) or archive.testzip():
            raise BadZipFile(f"{damaged} is damaged")

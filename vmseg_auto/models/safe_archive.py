"""Files of torch.save, checked byte by byte and read without running code."""

from __future__ import annotations

import pickle
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import torch
from torch.serialization import safe_globals

from vmseg_auto.models.safe_pickle import ClaimError, check_sizes, foreign_names, pickled_part
from vmseg_auto.utils.errors import DamagedError, InputError, VmsegError

StandIn = tuple[Callable[..., Any], str]
"""What is called in place of a global that the file names."""
_CLOSE = "Close other programs, or use a machine with more memory."


def load_archive(path: Path, *, missing: str, remedy: str, stand_ins: Sequence[StandIn] = ()) -> Any:
    """Read tensors, numbers and texts onto the CPU, with `weights_only=True`: no code in the file can run.

    Args:
        missing: remedy where there is no such file.
        remedy: remedy where the file can't be used.
        stand_ins: for globals beyond tensors that the file may name; the globals themselves are never called.

    Raises:
        DamagedError: the file is damaged, holds other objects than these, or says that it holds more than it does.
        InputError: it is missing, or may not be read.
        VmsegError: the memory is not enough.
    """
    with reading_checkpoint(path, missing, remedy):
        _verify(path, [name for _, name in stand_ins], remedy)
        with safe_globals(list(stand_ins)):
            return torch.load(path, map_location="cpu", weights_only=True)


@contextmanager
def reading_checkpoint(
    path: Path, missing: str, remedy: str, damage: type[Exception] = pickle.UnpicklingError
) -> Iterator[None]:
    """Turn what readers of checkpoints raise into errors in words, as `load_archive` lists them.

    Args:
        missing, remedy: as there.
        damage: what the reader of this kind of file raises of its own where the file is damaged.
    """
    try:
        yield
    except FileNotFoundError:
        raise InputError("the checkpoint does not exist", file=path, remedy=missing) from None
    except PermissionError as error:
        raise InputError(
            f"the checkpoint can't be read ({error.strerror})", file=path, remedy="Check the file's rights."
        ) from error
    except MemoryError as error:
        raise VmsegError("the memory is not enough for this checkpoint", file=path, remedy=_CLOSE) from error
    except ClaimError as error:
        raise DamagedError(f"the checkpoint is damaged or from elsewhere: {error}", file=path, remedy=remedy) from error
    except (
        OSError, RuntimeError, EOFError, ValueError, TypeError, AttributeError, AssertionError, LookupError,
        ArithmeticError, BadZipFile, zlib.error, struct.error, damage,
    ) as error:  # fmt: skip
        raise DamagedError("the checkpoint is damaged or from elsewhere", file=path, remedy=remedy) from error


def finite_tensors(found: Any, what: str, path: Path, remedy: str) -> dict[str, torch.Tensor]:
    """Return what was read of a file as a state dict, once it is found to be one.

    Args:
        what: its name, for messages.

    Raises:
        DamagedError: it is none, or some weight is NaN or infinite.
    """
    if not isinstance(found, Mapping):
        raise DamagedError(f"{what} is missing", file=path, remedy=remedy)
    for name, tensor in found.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            raise DamagedError(f"{what}: {name} is no tensor", file=path, remedy=remedy)
        if not torch.isfinite(tensor).all():
            raise DamagedError(f"{what}: {name} holds NaN or infinite numbers", file=path, remedy=remedy)
    return dict(found)


def _verify(path: Path, stand_ins: Sequence[str], remedy: str) -> None:
    """Check what torch.load does not, or not in every version, before it makes anything.

    Raises:
        DamagedError: the file names code.
        ClaimError: it says what can't be.
        BadZipFile: some byte that matters has changed. Other errors of the readers of zips and pickles mean the same.
    """
    with ZipFile(path) as archive:
        folder, pickled = pickled_part(archive)
        records = {entry.filename.removeprefix(f"{folder}data/"): entry.file_size for entry in archive.infolist()}
    if foreign := foreign_names(pickled, stand_ins):
        raise DamagedError(
            f"the checkpoint is damaged or from elsewhere: it holds {', '.join(foreign[:3])}, and objects "
            "other than tensors, numbers and texts are never loaded",
            file=path,
            remedy=remedy,
        )
    check_sizes(pickled, records)

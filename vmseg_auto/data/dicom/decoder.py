"""Decodes compressed DICOM images in a process of its own: python -P decoder.py FOLDER COUNT

It imports nothing of this package, and -P keeps what lies in the current folder from being imported in its place.

GDCM, which SimpleITK brings along, knows all compressions, but damaged streams can crash it, keep it busy for ever
or make it take all memory. Of the images 0.dcm, 1.dcm, ... it makes 0.npy, 1.npy, ... up to the first that is refused.
"""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
from pathlib import Path

MEMORY_BYTES = 1 << 31
SECONDS, SECONDS_AN_IMAGE = 5, 1
"""Of the processor."""
_NO_ROOM = 75
"""The exit code where the disk is full."""
_CLOCK = 30
"""By the clock it may take this many times as long: others have the processor too."""


def decode(folder: Path, count: int) -> None:
    """Decode the images 0.dcm, 1.dcm, ... in a folder; those that can't be are left without their .npy file.

    Raises:
        OSError: the disk is full.
    """
    command = [sys.executable, "-P", __file__, str(folder), str(count)]
    with contextlib.suppress(subprocess.TimeoutExpired):
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_CLOCK * (SECONDS + SECONDS_AN_IMAGE * count),
            check=False,
        )
        if done.returncode == _NO_ROOM:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def main(folder: Path, count: int) -> None:
    import numpy as np
    import SimpleITK as sitk

    _limit(SECONDS + SECONDS_AN_IMAGE * count)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    for number in range(count):
        reader.SetFileName(str(folder / f"{number}.dcm"))
        voxels = sitk.GetArrayFromImage(reader.Execute())
        part = folder / f"{number}.part.npy"
        try:
            np.save(part, voxels, allow_pickle=False)
        except OSError:
            sys.exit(_NO_ROOM)
        part.rename(folder / f"{number}.npy")


def _limit(seconds: int) -> None:
    """Let this process take so much of the processor and of memory from here on, and no more."""
    with contextlib.suppress(ImportError, OSError, ValueError):  # not on every system
        import resource

        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        most = pages * resource.getpagesize() + MEMORY_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))

"""Many predictions in one process through the Python API: memory stays flat, and no file stays open.

    python -m benchmarks.reliability.soak [--predictions 500]

Linux only: it reads /proc.
"""

from __future__ import annotations

import argparse
import gc
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.reliability.cohort import trained_cohort
from benchmarks.reliability.page import put

TOLERANCE = 0.05
WARM_UP = 0.1
"""Share of the predictions that fills caches and thread pools, and is not judged."""


@dataclass(frozen=True)
class Soak:
    """What many predictions left behind.

    Args:
        memory_bytes: resident, after each prediction.
        files: open, after each.
    """

    memory_bytes: tuple[int, ...]
    files: tuple[int, ...]

    @property
    def growth(self) -> float:
        """Share by which memory grew: the last fifth's median beside that of the first fifth after warming up."""
        judged = self.memory_bytes[max(1, int(WARM_UP * len(self.memory_bytes))) :]
        fifth = max(1, len(judged) // 5)
        return statistics.median(judged[-fifth:]) / statistics.median(judged[:fifth]) - 1

    @property
    def leaked_files(self) -> int:
        return self.files[-1] - self.files[max(1, int(WARM_UP * len(self.files)))]

    @property
    def steady(self) -> bool:
        return self.growth <= TOLERANCE and self.leaked_files <= 0


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.reliability.soak", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--predictions", type=int, default=500, metavar="N")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as place:
        trained_cohort(Path(place) / "cohort")
        found = soak(Path(place) / "cohort", arguments.predictions)
    lines = list(report(found))
    print("\n".join(lines))
    put("soak", lines)
    return 0 if found.steady else 1


def soak(cohort: Path, predictions: int) -> Soak:
    """Predict a trained cohort's scans again and again, each time as if for the first time."""
    from vmseg_auto import predict

    memory, files = [], []
    output = cohort / "soak"
    for _ in range(predictions):
        predict(cohort / "imagesTs", output, dataset=cohort, save_probabilities=True, device="cpu", jobs=2)
        shutil.rmtree(output)
        gc.collect()
        memory.append(_resident_bytes())
        files.append(len(os.listdir("/proc/self/fd")))
    return Soak(tuple(memory), tuple(files))


def report(found: Soak) -> Iterator[str]:
    """For docs/reliability.md."""
    mib = [size / 2**20 for size in found.memory_bytes]
    yield f"{len(mib)} predictions in one process: resident memory {mib[len(mib) // 10]:.0f} MiB after a tenth, "
    yield f"{mib[-1]:.0f} MiB at the end ({100 * found.growth:+.1f} %, medians of fifths compared); "
    yield f"{found.leaked_files:+d} open files."


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    sys.exit(main())

"""sources.csv: which scan each name of a case stands for, in a folder of masks."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from vmseg_auto.data.dataset import Case
from vmseg_auto.data.dicom.series import Scan, Series
from vmseg_auto.data.workspace import OutputFolder
from vmseg_auto.utils.console import shown
from vmseg_auto.utils.tables import read_csv, write_csv

COLUMNS = ("case", "channel", "source", "files", "inputs")


def write_sources(folder: Path, cases: Sequence[Case], root: Path, inputs: str, others: Collection[str]) -> None:
    """Write sources.csv: it tells of cases that have a mask, and of no others.

    Nothing in it comes from a header. Bytes of a name that are no UTF-8 stand as \\xe4.

    Args:
        cases: whose masks this command has made or kept.
        root: the folder or file that was given.
        inputs: the same, as seen from the folder.
        others: cases whose masks lie here from earlier commands; their rows stay.
    """
    kept = [row for row in read_sources(folder) if row.get("case") in others]
    write_csv(OutputFolder(folder).sources, COLUMNS, [*kept, *_rows(cases, root, inputs)])


def read_sources(folder: Path) -> list[dict[str, str]]:
    """Read the rows of sources.csv; none where there is no such file.

    Raises:
        InputError: it is no table.
    """
    table = OutputFolder(folder).sources
    return read_csv(table) if table.is_file() else []


def _rows(cases: Sequence[Case], root: Path, inputs: str) -> Iterator[dict[str, str]]:
    for case in cases:
        for channel, scan in zip(case.channels, case.images, strict=True):
            count = len(scan.files) if isinstance(scan, Series) else 1
            yield {
                "case": case.id,
                "channel": str(channel),
                "source": shown(_below(scan, root), lines=False),
                "files": str(count),
                "inputs": shown(inputs, lines=False),
            }


def _below(scan: Scan, root: Path) -> Path:
    """Return the file, or the first file of a series, as seen from what was given."""
    path = scan.source if isinstance(scan, Series) else scan
    within = path.is_relative_to(root) and path != root  # of a folder or a zip
    return path.relative_to(root if within else root.parent)

"""docs/followup.md, written from the tables of benchmarks/followup.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.report import table
from vmseg_auto.followup.response import response_to
from vmseg_auto.utils.atomic import write_text

Rows = Sequence[Mapping[str, str]]

BEGIN = "<!-- Written by `python -m benchmarks.followup_times` down to the next mark; don't edit it. -->"
END = "<!-- End of what `python -m benchmarks.followup_times` writes. -->"
INTRODUCTION = """\
# Follow-up of known changes

Written by `python -m benchmarks.followup`; don't edit it.

**All pairs are synthetic.** The second scan of each is made from the first: its lesions, themselves synthetic
(vmsemi53: real head and neck MRI of 12 people), are shrunk or grown to the given volume, the patient is moved by up to
10 mm and turned by up to 8 degrees, and noise and another intensity scale are added. Two scans from a clinic differ
more. vmseg_auto is not a medical device.

## With the true masks
A measurement error of 5 % is given for each volume (`--error 5`), as for a careful reader. Every pair was called what
it is where the class is right; `off` is how far a lesion's voxel lies at most from where it should, once aligned. A
pair is missing where no transform would keep all of its lesions in view.

"""
MODEL = """
## With the masks of a model
The first case of each patient, measured in both scans by the one fold that knew no scan of the patient; the measurement
error is that of the other patients' validation cases. Predicted without mirroring, for time. The networks are not done
learning (Dice 0.39): a volume of theirs may be off by so much that few changes lie beyond their error, or none. Then
the tool says so, and calls nothing a change.

"""
REPRODUCE = """
## How to reproduce
```bash
vmseg_plan_and_preprocess -d $DATA/vmsemi53 -w vm --memory 0.25      # $DATA: the test data
vmseg_train 0 1 2 3 4 -w vm --set epochs=20 iterations_per_epoch=50
python -m benchmarks.followup -w vm
```
"""


def write_report(seen: Rows, model: Rows, out: Path) -> None:
    """Put both tables into words; what `benchmarks.followup_times` has written between its marks stays.

    Args:
        seen, model: rows of benchmarks/followup.py, by true masks and by the model's.
        out: a Markdown file.
    """
    _, _, rest = (out.read_text(encoding="utf-8") if out.is_file() else "").partition(BEGIN)
    times = f"\n{BEGIN}{rest.partition(END)[0] or chr(10)}{END}\n"
    write_text(out, INTRODUCTION + by_true_masks(seen) + MODEL + by_model(model) + times + REPRODUCE)


def by_true_masks(rows: Rows) -> str:
    """A row for each true change."""
    cells = []
    for percent, chosen in _by_change(rows):
        aligned = [row for row in chosen if row["aligned"] == "True"]
        off = max(float(row["off_mm"]) for row in aligned) if aligned else float("nan")
        counts = (len(chosen), len(aligned))
        cells.append([_name(percent), *map(str, counts), f"{off:.2f} mm", str(_right(percent, chosen))])
    return table(["true change", "pairs", "aligned", "off", "class right"], cells)


def by_model(rows: Rows) -> str:
    """A row for each true change."""
    cells = []
    for percent, chosen in _by_change(rows):
        median = float(np.median([float(row["percent"]) for row in chosen if row["percent"]]))
        within = sum(row["beyond_error"] == "False" for row in chosen)
        right = _right(percent, chosen)
        change = sum(row["response"] != "unchanged" for row in chosen)
        cells.append([_name(percent), *map(str, (len(chosen), f"{median:+.0f} %", change, right, within))])
    head = ["true change", "pairs", "measured, median", "called a change", "class right", "not beyond the error"]
    return table(head, cells)


def _by_change(rows: Rows) -> list[tuple[int, Rows]]:
    known = sorted({int(row["true_percent"]) for row in rows})
    return [(percent, [row for row in rows if int(row["true_percent"]) == percent]) for percent in known]


def _name(percent: int) -> str:
    return f"{percent:+d} % ({response_to(percent)})"


def _right(percent: int, rows: Rows) -> int:
    return sum(row["response"] == response_to(percent) for row in rows)

"""docs/clinical.md and its picture, written from what was gathered."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np

from benchmarks.report import table
from vmseg_auto.evaluation.confidence import Calibration, Light
from vmseg_auto.evaluation.expected_quality import INTERVAL_COLUMNS
from vmseg_auto.figures.plots import write_charts
from vmseg_auto.figures.validation_charts import volume_chart
from vmseg_auto.selection.lesion_filter_record import LabelFilter
from vmseg_auto.selection.validation_volumes import is_covered
from vmseg_auto.utils.atomic import write_text
from vmseg_auto.utils.statistics import summarise

PICTURE = "volumes.png"
SIZES_ML = (0.0, 0.1, 1.0, 5.0, math.inf)


@dataclass(frozen=True)
class Lit:
    """A validation case: its light, and its Dice."""

    light: str
    dice: float


@dataclass(frozen=True)
class Piece:
    """A connected piece of a predicted mask: its volume, and that of the true lesions that it touches."""

    volume_ml: float
    touched_ml: float


@dataclass(frozen=True)
class Facts:
    """All that the report tells.

    Args:
        volumes: rows of the run's cross_validation/volumes.csv with an interval.
        lights: of the validation cases.
        pieces: of all validation masks.
        order: how often a wrong voxel is more in doubt than a right one, mean over cases.
        shares: share of a scan's voxels, the most undecided ones -> share of the wrong ones among them.
        warnings: what is done to a scan -> in how many cases it is told to be unlike the cohort, and of how many.
        filters: of the run's cross_validation/lesion_filter.json.
    """

    volumes: Sequence[Mapping[str, str]]
    lights: Sequence[Lit]
    pieces: Sequence[Piece]
    order: float
    shares: Mapping[float, float]
    warnings: Mapping[str, tuple[int, int]]
    filters: Sequence[LabelFilter]


def write_clinical_report(facts: Facts, out: Path) -> None:
    """Write the text to `out`, and the volumes' picture into images/ beside it."""
    columns = ("reference_ml", "volume_ml", *INTERVAL_COLUMNS)
    drawn = np.array([[float(row[column]) for row in facts.volumes] for column in columns])
    write_charts([volume_chart(drawn)], out.parent / "images" / PICTURE)
    components = [_pieces(facts.pieces), *(_filter(one) for one in facts.filters)]
    parts = [INTRODUCTION, _volumes(facts.volumes), *components, _lights(facts.lights)]
    write_text(out, "".join([*parts, _map(facts), _warnings(facts.warnings), REPRODUCTION]))


INTRODUCTION = """\
# In the clinic: what the figures are worth

Written by `python -m benchmarks.clinical`; don't edit it.

**vmseg_auto is not a medical device.** It is research software: no authority has approved it, and it was not tested on
patients in a clinical study. It gives no diagnosis, grades no malformation, and recommends no treatment. A person who
knows the anatomy must look at every mask before its volume is used, and no figure here replaces that look: a green
light says what such masks were worth on average, not that this one is right.

**All figures below are of synthetic lesions** implanted in real head and neck MRI (vmsemi53: 53 cases of 12 patients),
found by networks that are not done learning. They show whether the tool knows how far it can be trusted, not how good
it is on patients: your own cohort's figures stand in its workspace, in `runs/PLANNER/TRAINER/cross_validation/`.
"""

REPRODUCTION = """
## How to reproduce
```bash
vmseg_plan_and_preprocess -d $DATA/vmsemi53 -w vm --memory 0.25      # $DATA: the test data
vmseg_train 0 1 2 3 4 -w vm --set epochs=20 iterations_per_epoch=50
python -m benchmarks.clinical -w vm
```
Trainings of the same settings on another machine or of another version give other networks, and so other figures.
"""


NO_GREEN = """\
None of these is green: with networks that are not done learning, no disagreement is so small that nine masks in ten
would be usable.
"""


def _volumes(rows: Sequence[Mapping[str, str]]) -> str:
    covered = np.array([is_covered(row) for row in rows], dtype=np.float64)
    patients = [row["patient"] for row in rows]
    share = summarise(covered, patients, (0.0, 1.0))
    low, high = (np.array([float(row[column]) for row in rows]) for column in INTERVAL_COLUMNS)
    true, found = (np.array([float(row[column]) for row in rows]) for column in ("reference_ml", "volume_ml"))
    per_patient = [covered[np.array(patients) == one].mean() for one in dict.fromkeys(patients)]
    figures = [
        ("true volumes in their interval", f"{covered.sum():.0f} of {len(rows)} ({share.mean:.1%})"),
        ("the same, 95 % interval over patients", f"{share.low_95:.1%} to {share.high_95:.1%}"),
        ("the same, mean over patients", f"{np.mean(per_patient):.1%}"),
        ("true volumes below it, above it", f"{(true < low).sum()}, {(true > high).sum()}"),
        ("width of the interval, median", f"{np.median(high - low):.1f} mL"),
        ("true volume, median", f"{np.median(true):.1f} mL"),
        ("measured volume, median", f"{np.median(found):.1f} mL"),
        ("measured minus true volume, median", f"{np.median(found - true):+.1f} mL"),
    ]
    return f"""
## Volumes
`volumes.csv` gives the volume of each label in a scan with an interval that is to hold nine true volumes in ten. Here
each case's interval is estimated from the other patients alone, and each volume was measured by a network that had seen
no scan of the patient.

![Volumes of {len(rows)} validation cases with their intervals; synthetic lesions](images/{PICTURE})

*Synthetic lesions in real scans; networks that are not done learning.*

{table(("", "vmsemi53, synthetic lesions"), figures)}
The intervals are as wide as these networks are wrong: better networks lead to narrower ones by themselves, at the same
coverage. They promise nothing of scans unlike the cohort (none is given for them), of outlines by other habits than
those of the cohort's masks, or of one patient in particular, whose scans may all lie outside.
"""


def _pieces(pieces: Sequence[Piece]) -> str:
    rows = []
    for low, high in itertools.pairwise(SIZES_ML):
        inside = [piece for piece in pieces if low <= piece.volume_ml < high]
        if inside:
            real = [piece for piece in inside if piece.touched_ml > 0]
            name = f"from {low:g} mL" if math.isinf(high) else f"{low:g} to {high:g} mL"
            rows.append((name, str(len(inside)), f"{len(real)} ({len(real) / len(inside):.0%})"))
    return f"""
## Single components
No interval is given for them. A component may be no lesion at all, half of one or two that have grown together, so that
there is no true volume to compare it with. What can be counted is how many of them touch a true lesion:

{table(("predicted component", "how many", "touch a true lesion"), rows)}"""


def _filter(one: LabelFilter) -> str:
    levels = [
        (
            f"{level.least:g}{' (chosen)' if level.least == one.chosen else ''}",
            str(level.components),
            f"{level.touching} ({_share(level.touching, level.components)})",
            f"{level.lesions_found} of {one.lesions} ({_share(level.lesions_found, one.lesions)})",
            f"{level.precision:.3f}",
            f"{level.recall:.3f}",
            f"{level.dice:.3f}",
            str(level.emptied),
        )
        for level in one.levels
    ]
    head = (
        "kept from a p_lesion of", "components", "touch a true lesion", "true lesions found", "lesion precision",
        "lesion recall", "Dice", "scans left empty",
    )  # fmt: skip
    bins = [(f"{bin.probability:.2f}", f"{bin.share:.2f}", str(bin.components)) for bin in one.reliability]
    figures = [f"- {figure.text()}: {figure.definition}." for figure in one.figures]
    calibrated = table(("p_lesion, mean", "share that touches a true lesion", "components"), bins) if bins else ""
    return f"""
### The lesion filter
For each component of a mask, `volumes.csv` gives the probability that it touches a lesion (`p_lesion`,
[method](method.md#lesion-filter)). Here each is estimated from the other folds' patients alone. Precision, recall
and Dice are means over patients, the other columns counts over all cases, before and after components below a p_lesion
are left out (`--min-lesion-probability`):

{table(head, levels)}
What `vmseg_select` says of it: {one.reason}.

{calibrated}
{chr(10).join(figures)}
"""


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if whole else "-"


def _lights(lights: Sequence[Lit]) -> str:
    rows = []
    for light in get_args(Light):
        dice = np.array([one.dice for one in lights if one.light == light])
        usable = int((dice >= Calibration.USABLE_DICE).sum())
        rows.append((light, str(len(dice)), f"{dice.mean():.2f}" if len(dice) else "-", str(usable)))
    return f"""
## Traffic light
Green: nine validation cases in ten that were as certain had a Dice of at least {Calibration.USABLE_DICE:g}, and a
quarter of all were less certain. Red: a Dice below {Calibration.USABLE_DICE:g} is expected. Amber: all others, and
scans unlike the cohort that would be green. Here each case's light is estimated from the other patients' cases:

{table(("light", "cases", "mean Dice", f"Dice of at least {Calibration.USABLE_DICE:g}"), rows)}
{"" if any(one.light == "green" for one in lights) else NO_GREEN}"""


def _map(facts: Facts) -> str:
    shares = "; ".join(
        f"the most undecided {share:.0%} of its voxels hold {found:.0%}" for share, found in facts.shares.items()
    )
    return f"""
## Map of uncertainty
`--save-uncertainty` shows where a prediction is undecided. A wrong voxel is more undecided than a right one in
{facts.order:.0%} of all pairs (area under the ROC curve, mean over cases). Of a scan's wrong voxels,
{shares}.
Lesions that every pass misses leave no trace in it.
"""


def _warnings(warnings: Mapping[str, tuple[int, int]]) -> str:
    rows = [(change, f"{count} of {cases}") for change, (count, cases) in warnings.items()]
    return f"""
## Scans unlike the cohort
Spacing, field of view and intensity profile of each scan are compared with those of the other patients' scans:

{table(("what is done to the scan", "named as unlike"), rows)}"""

"""What volumes.csv says of a scan, in tables and plain words. Every figure shown is one of the file's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from vmseg_auto.evaluation.confidence import VolumeConfidence
from vmseg_auto.report.render import NONE, Table
from vmseg_auto.report.words import between, plain, shown, volume
from vmseg_auto.utils.text import counted
from vmseg_auto.workflows.run_tables import Row

_COLUMNS = (
    "Lesion",
    "Volume (mL)",
    "9 in 10 (mL)",
    "Probability of a lesion",
    "Longest (mm)",
    "Right-left \N{MULTIPLICATION SIGN} front-back \N{MULTIPLICATION SIGN} head-foot (mm)",
)
TOTALS = (
    "Scan", "Label", "Volume (mL)", "9 in 10 (mL)", "Lesions", "Longest (mm)", "Expected Dice", "Confidence",
    "Decision",
)  # fmt: skip


@dataclass(frozen=True)
class Light:
    """A traffic light, told by word and shape as well as by colour."""

    colour: str
    sign: str
    word: str
    advice: str


_LIGHTS = {
    "green": Light("green", "\N{BLACK CIRCLE}", "high", "Outlines like this one were usually close to the expert's."),
    "amber": Light(
        "amber", "\N{BLACK UP-POINTING TRIANGLE}", "medium", "Look at the outline before you use the volume."
    ),
    "red": Light("red", "\N{BLACK SQUARE}", "low", "Do not rely on this outline without correcting it."),
}


def light_of(rows: Sequence[Row]) -> Light | None:
    """Return the traffic light of a scan; None where none is known."""
    return next((_LIGHTS[word] for row in rows if (word := row["traffic_light"])), None)


def summary(rows: Sequence[Row]) -> str:
    """Describe what was found, in a sentence for each label."""
    parts = []
    for row in _totals(rows):
        number = _lesions(rows, row["label"])
        if not number:
            parts.append(f"No {plain(row['label'])} was found. {_may_be_missed(row)}{_left_out(row, nothing=True)}")
            continue
        interval = _interval(row)
        told = _interval_words(row, interval) if interval else _reason(row)
        lesions = "one part" if number == 1 else f"{number} separate parts"
        parts.append(
            f"{plain(row['label']).capitalize()}: {volume(row['volume_ml'])} mL ({told}) in {lesions}."
            f"{_left_out(row, nothing=False)}"
        )
    return " ".join(parts)


def _interval_words(row: Row, interval: str) -> str:
    """Describe a volume's interval; with few validation patients it holds over all scans, not of such scans alone."""
    if row["based_on_patients"] < VolumeConfidence.PATIENTS_FOR_SUCH_SCANS:
        return f"{interval} mL; such intervals hold nine true volumes in ten, over all scans, by {_based_on(row)}"
    return f"nine such volumes in ten are truly {interval} mL, by {_based_on(row)}"


def _left_out(row: Row, nothing: bool) -> str:
    """Describe what the lesion filter has left out of a mask; empty where that is nothing.

    Args:
        row: of all of a label.
        nothing: whether nothing is left.
    """
    if not isfinite(row["left_out_p_lesion"]):
        return ""
    parts = counted(int(row["left_out"]), "part")
    told = (
        f"The lesion filter has left out {parts} of {volume(row['left_out_ml'])} mL together, each a lesion with a "
        f"probability of at most {shown(row['left_out_p_lesion'])}."
    )
    return f" {told}{' That was all that was predicted: look at this scan.' * nothing}"


def _may_be_missed(row: Row) -> str:
    """Describe what a scan in which nothing of a label was found may hold all the same."""
    if not isfinite(row["lesion_probability"]):
        return f"What may have been missed is not known: {row['no_interval']}."
    share, low, high = (f"{row[f'lesion_probability{end}']:.0%}" for end in ("", "_low", "_high"))
    largest = row["largest_missed_ml"]
    size = f", the largest of {volume(largest)} mL" if largest else ""
    most = f"Nine such scans in ten hold at most {volume(row['volume_high_ml'])} mL."
    most = most if _interval(row) else f"How much such a scan holds at most is not known: {row['no_interval']}."
    return (
        f"Of {_based_on(row)} in which nothing was found either, {share} had a lesion (counted by patients; 95 % "
        f"interval {low} to {high}){size}. {most}"
    )


def _based_on(row: Row) -> str:
    return validation_words(row["based_on_scans"], row["based_on_patients"])


def validation_words(scans: int, patients: int) -> str:
    """Return by how many validation scans and patients something is known."""
    return f"{counted(scans, 'validation scan')} of {counted(patients, 'patient')}"


def _reason(row: Row) -> str:
    return f"no interval: {row['no_interval']}"


def confidence(rows: Sequence[Row]) -> tuple[str, ...]:
    """Describe in sentences how far the scan's outlines can be trusted."""
    row = next(iter(_totals(rows)), {})
    found = []
    if row and isfinite(row["expected_dice"]):
        dice, low, high = (row[f"expected_dice{end}"] for end in ("", "_low", "_high"))
        patients = row["expected_dice_patients"]
        few = patients < VolumeConfidence.PATIENTS_FOR_SUCH_SCANS
        four = "over all scans, four in five lie in such an interval, here" if few else "four such scans in five lie"
        found.append(
            f"Expected overlap with an expert's outline (Dice): {shown(dice)}; {four} between {shown(low)} and "
            f"{shown(high)}, by {validation_words(row['expected_dice_scans'], patients)}."
        )
    if row and isfinite(row["fold_agreement"]):
        agreement = shown(row["fold_agreement"])
        found.append(
            f"On this scan the model's networks agree with each other to a Dice of {agreement}; that is no comparison "
            "with an outline."
        )
    return tuple(found) or ("How far this outline can be trusted is not known.",)


def lesion_table(caption: str, rows: Sequence[Row], several: bool) -> Table:
    """Return a row of the page for each of the file; `several` says whether there are several labels to tell apart."""
    made = tuple(
        (
            lesion_name(row["label"], row["component"], several),
            volume(row["volume_ml"]),
            _interval(row),
            shown(row["p_lesion"]) if isfinite(row["p_lesion"]) else "",
            _mm(row, "longest_diameter_mm"),
            _extents(row),
        )
        for row in rows
    )
    return Table(caption, _COLUMNS, made).without_empty_columns()


def lesion_name(label: str, component: str, several: bool) -> str:
    """Return what a row of volumes.csv is called."""
    if several:
        return f"{plain(label)}, all" if component == "all" else f"{plain(label)} {component}"
    return "All lesions" if component == "all" else f"Lesion {component}"


def total_rows(name: str, rows: Sequence[Row], decision: str | None) -> list[tuple[str, ...]]:
    """Return rows of TOTALS of one scan, one for each label, with a reader's decision on its mask."""
    light = light_of(rows)
    return [
        (
            name,
            plain(row["label"]),
            volume(row["volume_ml"]),
            _interval(row),
            str(_lesions(rows, row["label"])),
            _mm(row, "longest_diameter_mm"),
            _expected(row),
            f"{light.sign} {light.word}" if light else shown(None),
            "rejected: not to be used" if decision == "rejected" else decision or shown(None),
        )
        for row in _totals(rows)
    ]


def _totals(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row["component"] == "all"]


def _lesions(rows: Sequence[Row], label: str) -> int:
    return sum(row["label"] == label and row["component"] != "all" for row in rows)


def _interval(row: Row) -> str:
    low, high = row["volume_low_ml"], row["volume_high_ml"]
    return f"{volume(low)} to {volume(high)}" if isfinite(low) and isfinite(high) else ""


def _expected(row: Row) -> str:
    """Write the Dice to expect, with its interval."""
    interval = between(row["expected_dice_low"], row["expected_dice_high"])
    return f"{shown(row['expected_dice'])} ({interval})" if isfinite(row["expected_dice"]) else shown(None)


def _mm(row: Row, column: str) -> str:
    return shown(row[column], 0)


def _extents(row: Row) -> str:
    sides = [_mm(row, f"extent_{axis}_mm") for axis in ("rl", "ap", "si")]
    return NONE if NONE in sides else " \N{MULTIPLICATION SIGN} ".join(sides)

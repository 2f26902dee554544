"""Whose scans these are: visits of one patient, and the same image under two names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from vmseg_auto.data.dataset import Dataset
from vmseg_auto.data.visits import suggest_visits
from vmseg_auto.planning.fingerprint import Duplicate, Fingerprint
from vmseg_auto.utils.console import Console

Visits = Literal["join", "apart"]


def settle_visits(
    data: Dataset, accepted: Mapping[str, str], visits: Visits | None, console: Console
) -> tuple[Dataset, dict[str, str]]:
    """Give each case its patient. What case names suggest is shown, and followed only on the user's word.

    Args:
        accepted: case id -> patient, by the user's earlier word.
        visits: the user's word now; None leaves it at the earlier one.

    Returns:
        The dataset with its patients, and what is now accepted.
    """
    cases = [case.id for case in (*data.cases, *data.test_cases) if case.id not in data.stated]
    suggested = suggest_visits(cases)
    known = dict(accepted)
    if visits is None:
        unsettled = {stem: group for stem, group in suggested.items() if not all(case in known for case in group)}
        if unsettled:
            console.warn(
                f"these cases look like visits of one patient:\n{visits_in_words(unsettled)}\n"
                'If they are, add --visits join (or write "patients" in dataset.json), and all visits of a patient '
                "stand on one side of each fold; if not, --visits apart. Until then each is a patient of its own."
            )
    else:
        for stem, group in suggested.items():
            known |= {case: stem if visits == "join" else case for case in group}
        what = "taken for visits of one patient" if visits == "join" else "left apart, each a patient of its own"
        console.say(f"Cases {what}:\n{visits_in_words(suggested)}" if suggested else "No case names suggest visits.")
    data = data.with_patients(known)
    if both := sorted({case.patient for case in data.cases} & {case.patient for case in data.test_cases}):
        console.warn(
            f"patients stand in imagesTr and in imagesTs: {', '.join(both)}. Scores of their test cases flatter the "
            "model, which has seen them: move all scans of a patient to one of the two."
        )
    return data, known


def warn_of_duplicates(fingerprint: Fingerprint, data: Dataset, console: Console) -> None:
    """Name the cases that hold the same image, unless one patient accounts for them on the same side."""
    patients = data.patients | {f"imagesTs/{case.id}": case.patient for case in data.test_cases}
    found = [one for one in fingerprint.duplicates if _matters(one, patients)]
    if not found:
        return
    pairs = "\n".join(f"  - {first} and {second}: {one.kind}" for one in found for first, second in [one.cases])
    console.warn(
        f"these cases hold the same image, or nearly:\n{pairs}\n"
        "On both sides of a fold, or in imagesTr and imagesTs, such a pair flatters the scores. Remove one of the two; "
        'or, for two scans of one patient in imagesTr, give both that patient under "patients" in dataset.json.'
    )


def _matters(pair: Duplicate, patients: Mapping[str, str]) -> bool:
    first, second = pair.cases
    if first not in patients or second not in patients:  # a validation case that has gone since
        return False
    apart = first.startswith("imagesTs/") != second.startswith("imagesTs/")
    return apart or patients[first] != patients[second]


def visits_in_words(groups: Mapping[str, tuple[str, ...]]) -> str:
    """Return a line for each patient's cases."""
    return "\n".join(f"  - {', '.join(group)}" for group in groups.values())

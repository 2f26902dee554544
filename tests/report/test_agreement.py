"""What the report says of the agreement of volumes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vmseg_auto.data.pseudonyms import true_names
from vmseg_auto.figures.charts import Chart
from vmseg_auto.report.volumes import volume_agreements
from vmseg_auto.workflows.run_tables import CaseScore

OUTLINED = np.exp(np.random.default_rng(0).normal(1.8, 1.1, 60))
FACTORS = np.exp(np.random.default_rng(1).normal(0.1, 0.2, 60))


def rows(outlined: Sequence[float], predicted: Sequence[float], label: str = "vein") -> list[CaseScore]:
    """A scan a patient."""
    return [
        CaseScore(f"scan_{n}", f"patient_{n}", label, {"reference_ml": a, "prediction_ml": b})
        for n, (a, b) in enumerate(zip(outlined, predicted, strict=True))
    ]


def told(found: Sequence[CaseScore]) -> tuple[tuple[Chart | None, str], ...]:
    return volume_agreements(found, true_names({row.case: row.patient for row in found}))


def test_ratios_say_what_they_are_and_what_is_left_out() -> None:
    outlined, predicted = [*OUTLINED, 0.0, 0.0, 4.2], [*(OUTLINED * FACTORS), 0.0, 1.5, 0.0]
    ((chart, words),) = told(rows(outlined, predicted))
    assert words.startswith(
        "Vein: errors grow with the volume and are given as ratios: on average the predicted one is 1."
    )
    assert "times the outlined one (95 % intervals of the limits: " in words
    assert "Estimated from 60 scans of 60 patients. Left out: 1 scan without a volume in either; " in words
    assert words.endswith("so that there is no ratio (the largest volume: 4.20 mL).")
    assert chart is not None
    assert chart.y.scale == "log"
    assert len(chart.dots) == 60
    assert chart.y.title == "predicted / outlined volume"


def test_differences_stand_in_ml() -> None:
    outlined = np.linspace(20, 60, 12)
    predicted = outlined + np.tile([2.0, -1.0, 0.5, -2.0], 3)
    ((chart, words),) = told(rows(list(outlined), list(predicted)))
    assert "on average the predicted volume differs from the outlined one by \N{MINUS SIGN}0.1 mL" in words
    assert "(without intervals of their own: these take 50 scans of 20 patients, and errors that look normal)" in words
    assert chart is not None
    assert chart.y.scale == "linear"
    assert chart.y.title == "difference (mL)"


def test_labels_stand_apart_and_one_with_few_patients_says_so() -> None:
    many, few = rows(list(OUTLINED), list(OUTLINED * FACTORS)), rows([3.0] * 4, [2.0] * 4, "lymph_node")
    (first, words), (second, reason) = told([*many, *few])
    assert first is not None
    assert second is None
    assert "Estimated from 60 scans" in words
    assert reason == "Lymph node: no agreement of volumes is given: it takes 5 patients with a volume, and here are 4."

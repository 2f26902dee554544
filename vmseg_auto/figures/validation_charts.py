"""Charts of validation cases: what was estimated from the other patients, and what came."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vmseg_auto.figures.charts import Axis, Band, Chart, Dot, Line


def expected_dice_chart(told: NDArray[np.float64], words: Sequence[str] = ()) -> Chart:
    """Chart the Dice of validation cases over the one that was to be expected, with the interval around it.

    Args:
        told: expected Dice, lower and upper end of its interval, and Dice [4, N]. The fifth with the lowest Dice is
            marked, and the least certain three tenths.
        words: of each case; none unless given.
    """
    expected, low, high, dice = told.tolist()
    worst = set(np.argsort(told[3], kind="stable")[: len(dice) // 5].tolist())
    bands, legend = [], {"line first": "as expected", "line bar": "interval of four in five"}
    if least := 3 * len(dice) // 10:
        edge = sorted(expected)[least - 1]
        bands.append(Band(((0.0, 0.0, 1.0), (edge, 0.0, 1.0)), "gap"))
        legend["band gap"] = "least certain three tenths"
    dots = [
        Dot(x, y, "odd" if n in worst else "reference", words[n] if words else "")
        for n, (x, y) in enumerate(zip(expected, dice, strict=True))
    ]
    legend |= _legend_of(dots, "validation case", "lowest fifth by Dice")
    bars = [Line(((x, a), (x, b)), "bar") for x, a, b in zip(expected, low, high, strict=True)]
    inside = int(np.sum((told[1] <= told[3]) & (told[3] <= told[2])))
    return Chart(
        f"Dice of {len(dice)} validation cases over the Dice that was to be expected",
        f"{inside} of {len(dice)} lie in the interval estimated from the other patients.",
        Axis("expected Dice, estimated from the other patients", 0.0, 1.0),
        Axis("Dice", 0.0, 1.0),
        bands=tuple(bands),
        lines=(*bars, Line(((0.0, 0.0), (1.0, 1.0)), "first")),
        dots=tuple(dots),
        legend=legend,
    )


def volume_chart(told: NDArray[np.float64], words: Sequence[str] = ()) -> Chart:
    """Chart validation cases, ordered by the volume predicted, with its interval and the outlined volume.

    Args:
        told: outlined and predicted volume, lower and upper end of the interval, in mL [4, N]. Outlined volumes outside
            their interval are marked by colour and shape.
        words: of each case; none unless given.
    """
    order = np.argsort(told[1], kind="stable").tolist()
    lines, dots = [], []
    for place, n in enumerate(order, 1):
        outlined, predicted, low, high = told[:, n].tolist()
        lines.append(Line(((place, low), (place, high)), "bar"))
        lines.append(Line(((place - 0.3, predicted), (place + 0.3, predicted)), "first"))
        inside = low <= outlined <= high
        dots.append(Dot(place, outlined, "reference" if inside else "odd", words[n] if words else ""))
    legend = {"line bar": "interval of nine in ten", "line first": "predicted"}
    legend |= _legend_of(dots, "outlined", "outlined, outside")
    inside = sum(dot.kind == "reference" for dot in dots)
    title = f"{inside} of {len(dots)} outlined volumes lie in the interval estimated from the other patients"
    return Chart(
        title,
        f"Volumes from {np.nanmin(told[:2]):.2f} to {np.nanmax(told[:2]):.2f} mL.",
        Axis("validation cases, by the volume predicted", 0.0, len(dots) + 1.0, whole=True),
        Axis("volume (mL)", 0.0, 1.1 * float(np.nanmax([np.nanmax(told), 0.01])), "asinh"),
        lines=tuple(lines),
        dots=tuple(dots),
        legend=legend,
    )


def _legend_of(dots: Sequence[Dot], reference: str, odd: str) -> dict[str, str]:
    """Return what those kinds of dots stand for that are there."""
    there = {dot.kind for dot in dots}
    return {f"dot {kind}": words for kind, words in (("reference", reference), ("odd", odd)) if kind in there}

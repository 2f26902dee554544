"""How far the surfaces of two masks lie from each other."""

from __future__ import annotations

import math

from vmseg_auto.evaluation.metrics.metric import PENALTY_MM, SURFACES, TOLERANCE_MM, Metric
from vmseg_auto.evaluation.metrics.pair import MaskPair
from vmseg_auto.evaluation.surface_distances import distances_between, largest_distance
from vmseg_auto.evaluation.surfaces import Surface


def surface_scores(prediction: Surface, reference: Surface, tolerance_mm: float = TOLERANCE_MM) -> dict[str, float]:
    """Return NSD (Nikolov et al., J Med Internet Res 2021, 23:e26151), and HD, HD95, ASSD and MASD in mm."""
    empty = len(prediction.corners) == 0, len(reference.corners) == 0
    if any(empty):
        missing, penalty = (0.0, 0.0) if all(empty) else (float("nan"), PENALTY_MM)
        known = dict.fromkeys(("hd_mm", "hd95_mm", "assd_mm", "masd_mm"), missing)
        return {"nsd": float(all(empty)), **known, "hd95_penalised_mm": penalty, "assd_penalised_mm": penalty}
    there, back = distances_between(prediction, reference)
    area = there.area + back.area
    hd95, assd = max(there.percentile(95), back.percentile(95)), (there.integral + back.integral) / area
    return {
        "nsd": (there.area_within(tolerance_mm) + back.area_within(tolerance_mm)) / area,
        "hd_mm": max(
            largest_distance(prediction, reference, there.mm[-1]), largest_distance(reference, prediction, back.mm[-1])
        ),
        "hd95_mm": hd95,
        "assd_mm": assd,
        "masd_mm": (there.mean + back.mean) / 2,
        "hd95_penalised_mm": hd95,
        "assd_penalised_mm": assd,
    }


def distance_scores(pair: MaskPair) -> dict[str, float]:
    """Return NSD and distances of a pair; see `surface_scores`."""
    return surface_scores(*pair.surfaces, pair.tolerance_mm)


def _distance(name: str, title: str, definition: str, may_lack: bool = True, on_screen: bool = False) -> Metric:
    return Metric(
        name,
        title,
        definition,
        lambda pair: pair.once(distance_scores)[name],
        "Distances",
        "mm",
        "lower",
        high=math.inf,
        may_lack=may_lack,
        digits=2,
        computed_by=SURFACES,
        on_screen=on_screen,
    )


METRICS = (
    Metric(
        "nsd",
        "NSD",
        "share of both surfaces, by area, that lies within the tolerance of the other one",
        lambda pair: pair.once(distance_scores)["nsd"],
        "Distances",
        computed_by=SURFACES,
        on_screen=True,
        at_tolerance=True,
    ),
    _distance("hd_mm", "HD (mm)", "the largest distance from one surface to the other; the larger of both directions"),
    _distance(
        "hd95_mm",
        "HD95 (mm)",
        "the distance within which 95 % of a surface's area lies of the other one; the larger of both directions",
        on_screen=True,
    ),
    _distance("assd_mm", "ASSD (mm)", "mean distance to the other surface over the area of both surfaces together"),
    _distance("masd_mm", "MASD (mm)", "mean of the two directions' mean distances to the other surface"),
    _distance(
        "hd95_penalised_mm",
        f"HD95, missed as {PENALTY_MM:g} mm (mm)",
        f"HD95; {PENALTY_MM:g} mm where one mask alone is empty, so that a missed lesion makes the mean worse",
        may_lack=False,
        on_screen=True,
    ),
    _distance(
        "assd_penalised_mm",
        f"ASSD, missed as {PENALTY_MM:g} mm (mm)",
        f"ASSD; {PENALTY_MM:g} mm where one mask alone is empty",
        may_lack=False,
    ),
)

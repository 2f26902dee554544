"""What is to be expected of predictions of new scans, for tables and in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

from vmseg_auto.data.reviews import Decision
from vmseg_auto.evaluation.confidence import Calibration, Confidence, Expectation, Light, VolumeConfidence
from vmseg_auto.utils.geometry import Spacing, spacing_in_words

EXPECTED_COLUMNS = ("expected_dice", "expected_dice_low", "expected_dice_high")
CASE_COLUMNS = (
    "uncertainty", "scatter", *EXPECTED_COLUMNS, "expected_dice_scans", "expected_dice_patients", "fold_agreement",
    "traffic_light", "unlike", "remark",
)  # fmt: skip
CORRECTED = "corrected by hand after it was predicted"
INTERVAL_COLUMNS = ("volume_low_ml", "volume_high_ml")
CALIBRATED_COLUMNS = (
    *INTERVAL_COLUMNS, "lesion_probability", "lesion_probability_low", "lesion_probability_high", "largest_missed_ml",
    "based_on_scans", "based_on_patients", "no_interval",
)  # fmt: skip
"""What is known of a volume by validation scans: its interval, or of a volume of 0 how likely there is a lesion."""
NO_CALIBRATION = "the model has no calibration"
UNCALIBRATED = (
    f"No interval of a volume, expected Dice or confidence is given: {NO_CALIBRATION}. It takes a cross-validation of "
    f"at least {VolumeConfidence.FEWEST_PATIENTS} patients; once all folds are trained, `vmseg_train 0`, with the "
    "options that they were trained with, sums it up and trains nothing."
)


@dataclass(frozen=True)
class Judgement:
    """A predicted case.

    Args:
        case: its id.
        confidence: what the passes said.
        unlike: what sets the scan apart from those that the model knows: of such a scan nothing is to be expected.
        corrected: whether somebody has changed the mask since: what was said of the prediction no longer holds.
        spacing_given_mm: the voxel size (Z, Y, X) that a person has given, where the scan's file has none.
        asked_least: the probability that a user has said, below which components were left out.
        decision: of a reader on the mask as it stands; None where nobody has decided.
    """

    case: str
    confidence: Confidence
    unlike: tuple[str, ...] = ()
    corrected: bool = False
    spacing_given_mm: Spacing | None = None
    asked_least: float | None = None
    decision: Decision | None = None

    @property
    def remark(self) -> str:
        """What a reader of the figures has to know."""
        given = self.spacing_given_mm and f"voxel size given by hand: {spacing_in_words(self.spacing_given_mm)}"
        least = None if self.corrected else self.asked_least
        asked = "" if least is None else f"components with a p_lesion below {least:g} were left out, as asked"
        decided = self.decision and f"a reader's decision: {self.decision}"
        return "; ".join(filter(None, (CORRECTED * self.corrected, decided, given, asked)))

    @property
    def as_validated(self) -> bool:
        """Whether the mask was made as those that the calibration was measured on."""
        return not self.corrected and self.asked_least is None

    def expected(self, calibration: Calibration | None) -> Expectation | None:
        """Return the Dice to expect; None where that is not known."""
        return calibration.expect(self.confidence) if calibration and not self.unlike and self.as_validated else None

    def light(self, calibration: Calibration | None) -> Light | None:
        """Return how confident one may be; None where that is not known."""
        return calibration.light(self.confidence, alike=not self.unlike) if calibration and self.as_validated else None

    def columns(self, calibration: Calibration | None) -> dict[str, Any]:
        """Return the values of CASE_COLUMNS; those that are not known are left out."""
        if self.corrected:
            return {"unlike": "; ".join(self.unlike), "remark": self.remark}
        about: dict[str, Any] = {"uncertainty": self.confidence.uncertainty, "scatter": self.confidence.scatter}
        rest = {
            "fold_agreement": self.confidence.fold_agreement,
            "traffic_light": self.light(calibration),
            "unlike": "; ".join(self.unlike),
            "remark": self.remark,
        }
        expected = self.expected(calibration)
        if expected and calibration:
            rest |= {"expected_dice_scans": calibration.cases, "expected_dice_patients": calibration.patients}
        return about | expected_columns(expected) | rest

    def calibrated_columns(self, label: str, volume_ml: float, calibration: Calibration | None) -> dict[str, Any]:
        """Return CALIBRATED_COLUMNS of all of a label in the scan."""
        if why := self._why_nothing_is_told(label, calibration):
            return {"no_interval": why}
        assert calibration is not None
        return volume_columns(calibration.volumes[label], volume_ml, self.confidence)

    def _why_nothing_is_told(self, label: str, calibration: Calibration | None) -> str:
        if self.corrected:
            return CORRECTED
        if calibration is None or label not in calibration.volumes:
            return NO_CALIBRATION
        if self.unlike:
            return "the scan is unlike those that the model knows"
        if self.asked_least is not None:
            return "components were left out as --min-lesion-probability says, and not as in the calibration"
        if self.confidence.mirrored != calibration.mirrored:
            return "the uncertainty was not measured as in the calibration (mirroring)"
        return ""


def volume_columns(told: VolumeConfidence, volume_ml: float, confidence: Confidence) -> dict[str, Any]:
    """Return CALIBRATED_COLUMNS of a label's volume in a scan of which the passes said `confidence`."""
    found = volume_ml > 0
    interval = told.interval(volume_ml, confidence)
    columns: dict[str, Any] = dict(zip(INTERVAL_COLUMNS, interval, strict=True)) if interval else {}
    if interval is None:
        columns["no_interval"] = told.why_no_interval(found)
    if found:
        return columns | {"based_on_scans": told.cases, "based_on_patients": told.patients}
    columns |= {"based_on_scans": told.nothing.scans, "based_on_patients": told.nothing.patients}
    if told.nothing.probability is not None:
        columns |= {
            "lesion_probability": told.nothing.probability,
            "lesion_probability_low": told.nothing.low_95,
            "lesion_probability_high": told.nothing.high_95,
            "largest_missed_ml": told.nothing.largest_ml,
        }
    return columns


def expected_columns(expected: Expectation | None) -> dict[str, float]:
    """Return EXPECTED_COLUMNS of a table's row; none where nothing can be expected.

    Example:
        >>> expected_columns(Expectation(0.8, 0.7, 0.9))
        {'expected_dice': 0.8, 'expected_dice_low': 0.7, 'expected_dice_high': 0.9}
    """
    if expected is None:
        return {}
    return dict(zip(EXPECTED_COLUMNS, (expected.dice, expected.low, expected.high), strict=True))


def traffic_lights(judged: Sequence[Judgement], calibration: Calibration | None) -> str:
    """Return in words how many cases have each light; empty where none has one."""
    lights = [one.light(calibration) for one in judged]
    counts = ", ".join(f"{lights.count(light)} {light}" for light in get_args(Light))
    return f"Confidence: {counts}." if any(lights) else ""


def most_doubtful(judged: Sequence[Judgement], calibration: Calibration | None) -> str:
    """Return the case to check first; one that was corrected by hand only where there is no other."""

    def doubt(one: Judgement) -> tuple[bool, float]:
        sure = calibration.line(one.confidence) if calibration else -one.confidence.uncertainty
        return one.corrected, sure

    return min(judged, key=doubt).case


def where_to_look(judged: Sequence[Judgement], calibration: Calibration | None) -> str:
    """Return in words the cases to check first; empty where there are none."""
    if calibration is None:
        return ""
    doubtful = [
        one for one in judged if not one.corrected and calibration.line(one.confidence) <= calibration.look_first
    ]
    lines = []
    for one in sorted(doubtful, key=lambda one: calibration.line(one.confidence)):
        expected = one.expected(calibration)
        dice = f" (expected Dice {expected.dice:.2f}, {expected.low:.2f} to {expected.high:.2f})" if expected else ""
        lines.append(f"\n  {one.case}{dice}")
    validation = f"{calibration.cases} validation cases of {calibration.patients} patients"
    about = f"the model is less certain of them than of three in four of its {validation}"
    return f"look at these first: {about}{''.join(lines)}" if lines else ""

"""What is to be expected of predictions of new scans, for tables and in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

from vmseg_auto.core.geometry import Spacing, spacing_in_words
from vmseg_auto.core.trust import Calibration, Expectation, Light, Trust

EXPECTED_COLUMNS = ("expected_dice", "expected_dice_low", "expected_dice_high")
CASE_COLUMNS = ("uncertainty", "scatter", *EXPECTED_COLUMNS, "fold_agreement", "traffic_light", "unlike", "remark")
CORRECTED = "corrected by hand after it was predicted"
INTERVAL_COLUMNS = ("volume_low_ml", "volume_high_ml")


@dataclass(frozen=True)
class Judgement:
    """A predicted case.

    Args:
        case: its id.
        trust: what the looks said.
        unlike: what sets the scan apart from those that the model knows: of such a scan nothing is to be expected.
        corrected: whether somebody has changed the mask since: what was said of the prediction no longer holds.
        spacing_given_mm: the voxel size (Z, Y, X) that a person has given, where the scan's file tells none.
    """

    case: str
    trust: Trust
    unlike: tuple[str, ...] = ()
    corrected: bool = False
    spacing_given_mm: Spacing | None = None

    @property
    def remark(self) -> str:
        """What a reader of the figures has to know."""
        given = self.spacing_given_mm and f"voxel size given by hand: {spacing_in_words(self.spacing_given_mm)}"
        return "; ".join(filter(None, (CORRECTED * self.corrected, given)))

    def expected(self, calibration: Calibration | None) -> Expectation | None:
        """The Dice to expect; None where that is not known."""
        return calibration.expect(self.trust) if calibration and not self.unlike and not self.corrected else None

    def light(self, calibration: Calibration | None) -> Light | None:
        """How confident one may be; None where that is not known."""
        return calibration.light(self.trust, alike=not self.unlike) if calibration and not self.corrected else None

    def columns(self, calibration: Calibration | None) -> dict[str, Any]:
        """CASE_COLUMNS."""
        if self.corrected:
            return {"unlike": "; ".join(self.unlike), "remark": self.remark}
        about: dict[str, Any] = {"uncertainty": self.trust.uncertainty, "scatter": self.trust.scatter}
        rest = {
            "fold_agreement": self.trust.fold_agreement,
            "traffic_light": self.light(calibration),
            "unlike": "; ".join(self.unlike),
            "remark": self.remark,
        }
        return about | expected_columns(self.expected(calibration)) | rest

    def interval_columns(self, label: str, volume_ml: float, calibration: Calibration | None) -> dict[str, float]:
        """INTERVAL_COLUMNS of all of a label in the scan; none where the interval is not known."""
        if calibration is None or self.expected(calibration) is None or label not in calibration.volumes:
            return {}
        return dict(zip(INTERVAL_COLUMNS, calibration.volumes[label].interval(volume_ml), strict=True))


def expected_columns(expected: Expectation | None) -> dict[str, float]:
    """EXPECTED_COLUMNS of a table's row; none where nothing can be expected."""
    if expected is None:
        return {}
    return dict(zip(EXPECTED_COLUMNS, (expected.dice, expected.low, expected.high), strict=True))


def traffic_lights(judged: Sequence[Judgement], calibration: Calibration | None) -> str:
    """In words, how many cases have each light; empty where none has one."""
    lights = [one.light(calibration) for one in judged]
    counts = ", ".join(f"{lights.count(light)} {light}" for light in get_args(Light))
    return f"Confidence: {counts}." if any(lights) else ""


def most_doubtful(judged: Sequence[Judgement], calibration: Calibration | None) -> str:
    """The case to look at first; one that was corrected by hand only where there is no other."""

    def doubt(one: Judgement) -> tuple[bool, float]:
        sure = calibration.line(one.trust) if calibration else -one.trust.uncertainty
        return one.corrected, sure

    return min(judged, key=doubt).case


def where_to_look(judged: Sequence[Judgement], calibration: Calibration | None) -> str:
    """In words, the cases to look at first; empty where there are none."""
    if calibration is None:
        return ""
    doubtful = [one for one in judged if not one.corrected and calibration.line(one.trust) <= calibration.look_first]
    lines = []
    for one in sorted(doubtful, key=lambda one: calibration.line(one.trust)):
        expected = one.expected(calibration)
        dice = f" (expected Dice {expected.dice:.2f}, {expected.low:.2f} to {expected.high:.2f})" if expected else ""
        lines.append(f"\n  {one.case}{dice}")
    about = f"the model is less certain of them than of three in four of its {calibration.cases} held-out cases"
    return f"look at these first: {about}{''.join(lines)}" if lines else ""

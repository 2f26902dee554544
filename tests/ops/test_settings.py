"""When only the largest component is kept."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from vmseg_auto.ops.postprocessing import decide_postprocessing

from vmseg_auto.core.postprocessing import PostProcessing

LABELS = {"background": 0, "vein": 1, "node": 2}


def row(text: str) -> NDArray[np.uint8]:
    """A mask of one row of voxels."""
    return np.array([[[int(digit) for digit in text]]], dtype=np.uint8)


def test_a_false_island_is_removed() -> None:
    decision = decide_postprocessing([(row("1110010"), row("1110000"))], LABELS)
    assert decision.keep_largest == ("vein",)
    assert "vein: only the largest component is kept" in decision.reasons[0]
    assert "node: all components are kept" in decision.reasons[1]


def test_multifocal_lesions_are_spared() -> None:
    """Dice alone would remove the second lesion: little of it is found, beside much that is wrong."""
    prediction, reference = row("1111111110111100"), row("1111111110000101")
    assert decide_postprocessing([(prediction, reference)], LABELS).keep_largest == ()
    dice_alone = row("1111111110111100"), row("1111111110000000")
    assert decide_postprocessing([dice_alone], LABELS).keep_largest == ("vein",)


def test_each_label_is_decided_alone() -> None:
    decision = decide_postprocessing([(row("1010022020"), row("1010022000"))], LABELS)
    assert decision.keep_largest == ("node",)


def test_cases_are_taken_one_by_one() -> None:
    taken = []

    def pairs() -> object:
        for number in range(3):
            taken.append(number)
            yield row("1100"), row("1100")

    assert decide_postprocessing(pairs(), LABELS).keep_largest == ()  # type: ignore[arg-type]
    assert taken == [0, 1, 2]


def test_no_case_decides_nothing() -> None:
    assert decide_postprocessing([], LABELS) == PostProcessing()


def test_json_and_back() -> None:
    decision = PostProcessing(("vein",), ("vein: better",))
    assert PostProcessing.from_json(decision.to_json()) == decision

"""What a manifest may say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from vmseg_auto.models.manifest import MANIFEST, Manifest, Member, is_text, is_weights
from vmseg_auto.models.selection_record import Candidate, Estimate
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.postprocessing import PostProcessing

SOME = Member("0" * 64, 1)
ONE = Manifest(
    "ours",
    "CC0",
    "0.1",
    ("model_0",),
    None,
    {"card.md": SOME, "model_0/model.json": SOME, "model_0/fold_all/checkpoint_final.safetensors": SOME},
)
RULE = Candidate(
    ("p/a", "p/b"), 0.4, PostProcessing(()), Estimate(0.5, 0.4, 0.6, 12), Estimate(0.5, None, None, 12), ()
)
TWO = replace(
    ONE,
    models=("model_1", "model_0"),
    rule=RULE,
    members=ONE.members | {"model_1/model.json": SOME, "model_1/fold_12/checkpoint_final.safetensors": SOME},
)


@pytest.mark.parametrize("manifest", [ONE, TWO])
def test_it_comes_back_as_it_was(manifest: Manifest) -> None:
    assert Manifest.from_json(manifest.to_json()) == manifest


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        (replace(ONE, models=()), "do not name the same models"),
        (replace(ONE, models=("model_1",)), "do not name the same models"),
        (replace(ONE, models=("model_0", "model_0"), rule=RULE), "do not name the same models"),
        (replace(ONE, members={"card.md": SOME, "model_0/model.json": SOME}), "do not name the same models"),
        (replace(ONE, members=dict(list(ONE.members.items())[2:])), "do not name the same models"),
        (replace(TWO, models=("model_0",), rule=None), "do not name the same models"),
        (replace(ONE, rule=RULE), "does not say how its 1 models predict"),
        (replace(TWO, rule=None), "does not say how its 2 models predict together"),
        (replace(TWO, rule=replace(RULE, threshold=1.5)), "threshold is 1.5"),
    ],
)
def test_what_can_not_be_is_refused(manifest: Manifest, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Manifest.from_json(manifest.to_json())


@pytest.mark.parametrize("change", [{"format": "other"}, {"schema": 1}, {"members": {"card.md": {"bytes": 1}}}])
def test_other_files_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"manifest\.json"):
        Manifest.from_json(ONE.to_json() | change, MANIFEST)


def test_names_of_files() -> None:
    assert all(map(is_text, ("manifest.json", "card.md", "fingerprint.json", "model_0/model.json")))
    assert all(
        map(
            is_weights,
            ("model_0/fold_0/checkpoint_final.safetensors", "model_12/fold_all/checkpoint_final.safetensors"),
        )
    )
    for name in ("", "x/card.md", "card.md\n", "model_0/card.md", "model_/model.json", "model_0/fold_0/a.pt"):
        assert not is_text(name)
        assert not is_weights(name)

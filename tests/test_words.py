"""Names are the field's: those that this project once had for standard methods come back nowhere."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("vmseg_auto", "planners", "trainers", "examples")
MODULES = [path for folder in PACKAGES for path in sorted((ROOT / folder).rglob("*.py"))]
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]

OLD = {
    "sweep": "sliding window",
    "looks(?!_like)|views": "passes",
    "no_mirror|mirroring_in_prediction": "tta",
    "witness(es)?|hears?|heard|trust": "UncertaintyEstimator, update, confidence",
    "committees?": "ModelEnsemble, FoldEnsemble",
    "effort|economy|takers?": "InferenceBudget",
    "everyones": "all_gather",
    "coarsen|bend": "simulate_low_resolution, gamma",
    "averaging": "ema_decay",
    "margin_softness": "boundary_label_smoothing",
    "false_positive_weight": "tversky_alpha",
    "gap_monitor|stop_on_gap": "overfitting_monitor, early_stopping",
    "recipes?": "TrainingConfig",
    "foreground_share": "foreground_oversampling",
    "held_out": "validation or test",
    "prepared": "preprocessed",
    "delivery|sidecars?": "PredictionWriter, PredictionRecord",
    "movement|likeness": "RigidTransform, local_ncc",
    "lesions_right": "precision, per lesion",
    "whom": "a name of what is meant",
}
"""Parts of names, as regular expressions -> what the field calls it."""
_PARTS = re.compile(rf"(?<=_)({'|'.join(OLD)})(?=_)")
_WHOLE = {"look", "see", "forget", "Ensemble", "Origin", "Share", "Told"}
_MEMBERS = {
    "Ranks": {"first", "whole", "most"},
    "TrainingConfig": {"steps", "steps_per_epoch"},
    "Drawn": {"stretch", "shade", "cut"},
    "Chances": {"stretch", "shade", "cut"},
}
"""Names that are old ones only as members of these classes."""
_FILES = {"places", "turns", "watching", "later", "spill", "claims", "variants"}
_AUGMENTATIONS = {"stretch", "shade"}
"""In training/augmentation alone."""
_PROSE = re.compile(
    r"\b(witness(es)?|committees?|takers|sidecars?|held[- ]out|gap monitor|stop_on_gap|no-mirror)\b", re.I
)
_HEADINGS = re.compile(rf"{_PROSE.pattern}|\b(looks|sweeps?|recipes?|economy|whom|is said|prepared|movement)\b", re.I)


def _is_old(name: str) -> bool:
    """Whether a name, in snake_case or CamelCase, holds an old word."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    return name in _WHOLE or _PARTS.search(f"_{words}_") is not None


def _names(tree: ast.Module) -> Iterator[str]:
    """Names of functions, classes, arguments, attributes, fields and constants; texts that are columns or fields."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.arg(arg=name):
                yield name
            case ast.Attribute(attr=name, ctx=ast.Store()):
                yield name
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name
            case ast.Constant(value=str(text)) if re.fullmatch(r"[a-z][a-z0-9_]*|Lesions right", text):
                yield text.lower().replace(" ", "_")
    for node in tree.body:
        if isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))


def _members(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Class, and the name of a method or field of it."""
    for kind in ast.walk(tree):
        if isinstance(kind, ast.ClassDef):
            for node in kind.body:
                if isinstance(node, ast.FunctionDef):
                    yield kind.name, node.name
                elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                    yield kind.name, node.target.id


@pytest.mark.parametrize("name", ["stop_on_gap", "Witness", "LOOKS_WANTED", "nLooks", "heard", "PreparedCase", "see"])
def test_old_names_are_recognised(name: str) -> None:
    assert _is_old(name)


@pytest.mark.parametrize("name", ["looks_like_intensities", "prepare", "view", "PreprocessedFolder", "trusted", "seen"])
def test_other_names_are_not(name: str) -> None:
    assert not _is_old(name)


def test_no_name_field_or_column_is_an_old_one() -> None:
    found = set()
    for path in MODULES:
        where, tree = path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))
        old = {name for name in _names(tree) if _is_old(name)}
        old |= {f"{kind}.{name}" for kind, name in _members(tree) if name in _MEMBERS.get(kind, ())}
        if "augmentation" in path.parts:
            old |= {name for name in _names(tree) if name.strip("_") in _AUGMENTATIONS}
        found |= {(where, name) for name in old}
    assert found == set()


def test_no_module_has_an_old_name() -> None:
    assert [path for path in MODULES if path.stem in _FILES or _is_old(path.stem)] == []


def test_no_option_has_an_old_name() -> None:
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    options = set(re.findall(r"--([a-z][a-z-]*)", page))
    assert "no-tta" in options
    assert {option for option in options if _is_old(option.replace("-", "_"))} == set()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_headings_and_pages_use_no_old_word(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert [line for line in re.findall(r"^#+ .*$", text, re.M) if _HEADINGS.search(line)] == []
    assert _PROSE.findall(text) == []


@pytest.mark.parametrize(
    "words", ["sliding window", "test-time augmentation", "EMA", "early stopping", "oversampling", "ground truth"]
)
def test_the_field_s_words_stand_in_the_method_and_the_glossary(words: str) -> None:
    for page in ("method.md", "glossary.md"):
        text = " ".join((ROOT / "docs" / page).read_text(encoding="utf-8").split())
        assert re.search(rf"\b{words}\b", text, 0 if words.isupper() else re.IGNORECASE), f"{words} in {page}"

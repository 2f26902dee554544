"""Training's CUDA branches: devices, types, operators, memory, and what the CPU waits for."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from absent_card import Watch, lacking_cuda, present
from cohorts import cohort
from consoles import Heard
from tiny import PLAN, prepare, tiny_case, tiny_plan

from vmseg_auto.contracts import Parts
from vmseg_auto.data.dataset import Fold
from vmseg_auto.models.fold_record import FoldRecord
from vmseg_auto.planning.memory import card_gib, tensors_gib
from vmseg_auto.planning.plan import Plan
from vmseg_auto.planning.training_config import TrainingConfig
from vmseg_auto.registry import load_planner, load_trainer
from vmseg_auto.training.augmentation.cpu import STRONG, PatchAugmentation, read_shape
from vmseg_auto.training.augmentation.device import BatchAugmentation
from vmseg_auto.training.fold_data import FoldSetup
from vmseg_auto.training.held_cases import gib_of
from vmseg_auto.training.loader import Batch
from vmseg_auto.training.loop import STEPS_AHEAD, Loop, seconds_per_step
from vmseg_auto.training.memory_advice import within_memory
from vmseg_auto.training.step import Learner
from vmseg_auto.utils.devices import computing
from vmseg_auto.utils.distributed import ALONE, LocalBatch
from vmseg_auto.utils.errors import VmsegError
from vmseg_auto.workflows.job import Job
from vmseg_trainers.default import DefaultTrainer

CUDA = torch.device("cuda", 0)
CONFIG = TrainingConfig(epochs=1, iterations_per_epoch=6, compile="off")
NOT_DETERMINISTIC = (
    "avg_pool3d_backward", "adaptive_avg_pool", "adaptive_max_pool", "fractional_max_pool", "max_unpool",
    "linear1d_back", "bilinear2d_back", "bicubic2d_back", "trilinear3d_back", "reflection_pad", "nll_loss", "ctc_loss",
    ".put_", "histc", "bincount", "median", "grid_sampler_2d_back", "grid_sampler_3d_back", "cumsum",
)  # fmt: skip
"""What torch.use_deterministic_algorithms lists as refused."""
THICK = cohort([(4.0, 0.6, 0.6)] * 50, [(30, 320, 320)] * 50)


def parts_of(plan: Plan = PLAN, config: TrainingConfig = CONFIG) -> Parts:
    return DefaultTrainer()(plan, config, CUDA, 1, 2)


def learner_of(plan: Plan = PLAN, config: TrainingConfig = CONFIG) -> Learner:
    parts = parts_of(plan, config)
    options = {"gradient_clip": config.gradient_clip, "ema_decay": config.ema_decay}
    return Learner(parts.network, parts.loss, parts.optimizer, CUDA, amp=config.amp, **options)


def batch_of(plan: Plan = PLAN) -> tuple[torch.Tensor, torch.Tensor]:
    image = torch.randn(plan.batch_size, 1, *plan.patch, device=CUDA)
    return image, torch.zeros(plan.batch_size, *plan.patch, dtype=torch.long, device=CUDA)


def after_first_step(card: Watch, plan: Plan, config: TrainingConfig, steps: int = 2) -> Learner:
    """The first step makes the optimizer's state, and may wait."""
    learner = learner_of(plan, config)
    learner.step(*batch_of(plan))
    card.waits.clear()
    for _ in range(steps):
        learner.step(*batch_of(plan))
    return learner


@pytest.mark.parametrize(
    ("builder", "optimizer", "bf16", "amp", "dtype"),
    [
        ("plain_unet", "sgd", True, True, torch.bfloat16),
        ("plain_unet", "adamw", False, True, torch.float16),
        ("residual_unet", "sgd", False, True, torch.float16),
        ("residual_unet", "adamw", True, False, torch.float32),
    ],
)
def test_a_step_stays_on_the_card_in_its_precision_and_is_not_waited_for(
    builder: str, optimizer: str, bf16: bool, amp: bool, dtype: torch.dtype
) -> None:
    """Operands of two devices would have been refused."""
    with present(bf16=bf16) as card:
        learner = after_first_step(
            card, tiny_plan(builder=builder), CONFIG.with_settings([f"optimizer={optimizer}", f"amp={amp}".lower()])
        )
        assert {weight.device for weight in learner.network.parameters()} == {CUDA}
    assert card.convolved == {(dtype, dtype)}
    assert card.waits == []
    assert lacking_cuda(frozenset(card.operators)) == []


def test_every_ingredient_stays_on_the_card() -> None:
    every = ["ema_decay=0.9", "batch_dice=true", "tversky_alpha=0.4", "focal_gamma=1", "boundary_label_smoothing=0.2"]
    with present() as card:
        after_first_step(card, PLAN, CONFIG.with_settings(every))
    assert card.waits == []
    assert lacking_cuda(frozenset(card.operators)) == []


def without_an_order(card: Watch) -> list[str]:
    return [name for name in card.operators if any(part in name for part in NOT_DETERMINISTIC)]


@pytest.mark.parametrize("builder", ["plain_unet", "residual_unet"])
def test_a_deterministic_step_takes_no_operator_without_an_order(builder: str) -> None:
    def near(alike: bool) -> list[str]:
        with present() as card, computing(alike, CUDA):
            after_first_step(card, tiny_plan(builder=builder), CONFIG, steps=1)
        return without_an_order(card)

    assert near(False)
    assert near(True) == []


@pytest.mark.parametrize("patch", [(8, 16, 16), (2, 32, 32), (1, 32, 32)])
def test_every_step_of_augmentation_stays_on_the_card_and_has_an_order(patch: tuple[int, int, int]) -> None:
    """Patches that turn in space, in their slices, and single slices; every step is drawn again and again."""
    augment = BatchAugmentation(PatchAugmentation(patch, (0, 1, 2), STRONG))
    with present() as card, computing(True, CUDA):
        image = torch.randn(24, 2, *read_shape(patch), device=CUDA)
        label = torch.zeros(24, *read_shape(patch), dtype=torch.uint8, device=CUDA)
        image, label = augment(image, label, range(24))
        assert {image.device, label.device} == {CUDA}
        assert (image.shape, label.shape, label.dtype) == ((24, 2, *patch), (24, *patch), torch.uint8)
    done = {name.split(".")[1] for name in card.operators}
    assert {"randn", "exp", "_upsample_nearest_exact3d", "flip"} <= done
    assert done & {"grid_sampler_2d", "grid_sampler_3d"}
    assert done & {"mm", "bmm"}
    assert card.waits == []
    assert without_an_order(card) == []
    assert lacking_cuda(frozenset(card.operators)) == []


def test_a_step_that_waits_would_be_seen() -> None:
    with present() as card:
        learner = learner_of()
        usual = learner.loss
        learner.loss = lambda logits, label: usual(logits, label) * (2 if bool(label.sum() > 0) else 1)
        learner.step(*batch_of())
    assert card.waits


@pytest.fixture(scope="module")
def preprocessed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(tmp_path_factory.mktemp("preprocessed"), [tiny_case(name, i) for i, name in enumerate("abc")])


def test_the_loop_tells_of_steps_that_are_done_and_waits_for_results_at_the_epoch_s_end(preprocessed: Path) -> None:
    """Its batches come from its own source, and are augmented on the card."""
    told: list[tuple[int, int]] = []
    with present() as card:
        setup = FoldSetup(parts_of(), PLAN, preprocessed, Fold(("a", "b"), ("c",)), 0, CUDA)
        assert setup.device_augment is not None
        source = setup.training_source()
        batches = [source.batch(source.open(), number) for number in range(6)]
        loop = Loop(setup, None, LocalBatch(size=2))
        loop.train(batches[:1], lambda step: None)
        card.waits.clear()
        card.events = 0
        loop.train(batches[1:], lambda step: told.append((step, card.events)))
    assert [step for step, _ in told] == [2, 3, 4, 5, 6]
    assert [done for _, done in told] == [1, 2, 3, 4, 5], "each is told of after it was waited for"
    assert STEPS_AHEAD == 2
    assert set(card.waits) == {"Loop.train"}
    assert lacking_cuda(frozenset(card.operators)) == []


def test_the_time_of_a_step_is_that_of_steps_that_are_done(preprocessed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock is the number of steps that the card was waited for: those before the timed ones are done, as these."""
    with present() as card:
        monkeypatch.setattr("vmseg_auto.training.loop.time", SimpleNamespace(monotonic=lambda: float(card.events)))
        setup = FoldSetup(parts_of(), PLAN, preprocessed, Fold(("a", "b"), ("c",)), 0, CUDA, room_gib=1.0)
        assert seconds_per_step(setup, workers=1) == 1.0


def test_readers_fill_pinned_memory_for_the_card(preprocessed: Path) -> None:
    asked = []

    def empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        asked.append((shape, dtype.name))
        return np.empty(shape, dtype)

    with present(), pytest.MonkeyPatch.context() as patched:
        patched.setattr("vmseg_auto.training.fold_data.pinned", empty)
        setup = FoldSetup(parts_of(), PLAN, preprocessed, Fold(("a", "b"), ("c",)), 0, CUDA)
        with setup.training_loader(2, range(2)) as loader:
            batches: list[Batch] = list(loader.batches(0, 2))
    shapes = {batch.image.shape for batch in batches} | {batch.label.shape for batch in batches}
    assert {shape for shape, _ in asked} == shapes
    assert sorted(kind for _, kind in asked) == ["float32", "float32", "uint8", "uint8"]


def test_cases_that_are_held_are_cut_and_augmented_on_the_card_without_a_wait(preprocessed: Path) -> None:
    def never(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        raise AssertionError("nothing is read")

    with present() as card, pytest.MonkeyPatch.context() as patched:
        patched.setattr("vmseg_auto.training.fold_data.pinned", never)
        setup = FoldSetup(parts_of(), PLAN, preprocessed, Fold(("a", "b"), ("c",)), 0, CUDA, room_gib=1.0)
        before = card.held
        loop = Loop(setup, None, LocalBatch(size=2))
        assert loop.held is not None
        assert {image.device for image in (*loop.held.images.values(), *loop.held.labels.values())} == {CUDA}
        assert card.held - before >= gib_of(setup.training_source().open()) * 2**30
        with setup.training_loader(2, range(2)) as loader:
            batches = list(loader.batches(0, 4))
        loop.train(batches[:1], lambda step: None)
        card.waits.clear()
        loop.train(batches[1:], lambda step: None)
    assert set(card.waits) == {"Loop.train"}
    assert lacking_cuda(frozenset(card.operators)) == []


@pytest.mark.parametrize(("free_gib", "version", "warnings"), [(24.0, 91501, 0), (4.0, 91501, 1), (4.0, 91002, 2)])
def test_what_begins_is_said(free_gib: float, version: int, warnings: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The card and its precision, what is compiled, and what may go wrong."""
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: version)
    heard = Heard()
    plan = load_planner("default")(THICK, 8.0)
    job = SimpleNamespace(plan=plan, config=CONFIG, device=CUDA, fingerprint=THICK, ranks=ALONE, console=heard)
    job.run = SimpleNamespace(name="default/default")
    with present(limit=free_gib * 2**30):
        job._card_gib = Job._card_gib.fget(job)
        Job.introduce(job)
    assert heard.said[0] == "Training default/default on a card that is not there, bfloat16."
    assert "compile=off is set" in heard.said[1]
    assert len(heard.warned) == warnings
    if warnings:
        assert f"{free_gib:g} GiB are there for it" in heard.warned[0]
    assert any("cuDNN 9.10" in text for text in heard.warned) == (version == 91002)


def test_a_quarter_of_what_the_training_leaves_is_room_for_cases(tmp_path: Path) -> None:
    plan = load_planner("default")(THICK, 8.0)
    needed = card_gib(plan, 2, CONFIG)

    def room(free_gib: float, *settings: str, device: torch.device = CUDA) -> float | None:
        config = CONFIG.with_settings(settings)
        job = SimpleNamespace(plan=plan, config=config, device=device, preprocessed=tmp_path, fingerprint=THICK)
        job.parts = lambda config, fold: None
        with present(limit=free_gib * 2**30):
            job._card_gib = Job._card_gib.fget(job)
            return Job.setup(job, FoldRecord(config, "", {"a": "0"}, {}), 0).room_gib

    assert room(24.0) == pytest.approx((24.0 - needed) / 4)
    assert room(4.0) == 0.0
    assert room(24.0, "hold_cases=off") is None
    assert room(24.0, device=torch.device("cpu")) is None


@pytest.mark.parametrize(
    ("planner", "trainer"),
    [
        ("default", "default"), ("default", "nnunet"), ("default", "paper"), ("default", "quick"),
        ("2d", "default"), ("residual", "default"), ("mednext_s", "default"), ("mednext_b", "default"),
    ],
)  # fmt: skip
def test_what_a_training_takes_is_told_to_a_tenth(planner: str, trainer: str) -> None:
    """For every preset: trainers differ in the same way under every planner."""
    plan = load_planner(planner)(THICK, 8.0)
    config = load_trainer(trainer).config.with_settings(["compile=off"])
    with present() as card:
        after_first_step(card, plan, config, steps=1)
    assert tensors_gib(plan, 2, config) == pytest.approx(card.peak / 2**30, rel=0.1)


def test_a_training_that_the_card_does_not_hold_ends_with_a_plan_that_it_holds() -> None:
    plan = load_planner("residual")(THICK, 8.0)
    with present(limit=6 * 2**30) as card:
        with (
            pytest.raises(
                VmsegError, match=r"planned for 8 GB, and 6\.0 GB are there.*--memory (?P<gb>[\d.]+)"
            ) as told,
            within_memory(plan, CUDA),
        ):
            learner_of(plan).step(*batch_of(plan))
        smaller = float(str(told.value).partition("--memory ")[2].partition("`")[0])
        card.held = 0
        after_first_step(card, load_planner("residual")(THICK, smaller), CONFIG, steps=1)
    assert 4 < smaller < 6

"""Our side of every comparison: networks of a plan, learners in any precision, and what they learn and answer."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from benchmarks.gpu_day.cohorts import Cohort
from vmseg_auto.contracts import Parts
from vmseg_auto.inference.ensemble import FoldEnsemble
from vmseg_auto.inference.sliding_window import predict_logits
from vmseg_auto.inference.windows import air_level
from vmseg_auto.planning.inference_budget import EXHAUSTIVE, InferenceBudget
from vmseg_auto.planning.plan import Plan
from vmseg_auto.training.augmentation.cpu import NoAugmentation
from vmseg_auto.training.compiled import Mode
from vmseg_auto.training.fold_data import FoldSetup
from vmseg_auto.training.loader import BatchSource
from vmseg_auto.training.sampling import forced_foreground
from vmseg_auto.training.step import Learner
from vmseg_auto.utils.devices import lay_out, round_convolutions
from vmseg_trainers.default import DefaultTrainer, make_sampler

PRECISIONS: dict[str, torch.dtype | None] = {"float32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
Batch = tuple[torch.Tensor, torch.Tensor]
"""Image [B, C, Z, Y, X] and label [B, Z, Y, X] on their device."""


def parts_of(cohort: Cohort, device: torch.device, *settings: str, plan: Plan | None = None) -> Parts:
    """The default trainer's parts, always with the same weights; compiled only if `settings` say so: it takes time."""
    torch.manual_seed(0)
    config = DefaultTrainer.config.with_settings(["compile=off", *settings])
    return DefaultTrainer()(plan or cohort.plan, config, device, cohort.channels, cohort.classes)


def learner_of(
    parts: Parts, device: torch.device, precision: str | None = None, compiled: Mode | None = None
) -> Learner:
    """A learner in one of PRECISIONS, or in what the product takes on this device.

    Raises:
        RuntimeError: in a step, where network and loss can't be compiled.
    """
    amp, clip = precision != "float32", parts.config.gradient_clip
    learner = Learner(
        parts.network, parts.loss, parts.optimizer, device, amp=amp, gradient_clip=clip, compiled=compiled,
        notify=_refuse,
    )  # fmt: skip
    if precision is not None:
        learner.dtype = PRECISIONS[precision]
        learner.scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
    return learner


def _refuse(text: str) -> None:
    raise RuntimeError(text)


def setup_of(
    cohort: Cohort, parts: Parts, device: torch.device, plan: Plan | None = None, held: bool = True
) -> FoldSetup:
    """Fold 0, to be trained by the product's own loop; its cases are held on the device where they can be."""
    room = math.inf if held else None
    return FoldSetup(parts, plan or cohort.plan, cohort.preprocessed, cohort.cases, 0, device, room)


def batches_of(cohort: Cohort, device: torch.device, plan: Plan | None = None) -> Iterator[Batch]:
    """Batches without augmentation, made here and now, for ever."""
    plan, config = plan or cohort.plan, DefaultTrainer.config.with_settings(["augment=false"])
    foreground = tuple(
        forced_foreground(i, plan.batch_size, config.foreground_oversampling) for i in range(plan.batch_size)
    )
    sampler = make_sampler(plan, config)
    source = BatchSource(cohort.preprocessed, cohort.cases.train, sampler, NoAugmentation(), foreground, (0,))
    cases = source.open()
    for number in itertools.count():
        batch = source.batch(cases, number)
        yield torch.from_numpy(batch.image).to(device), torch.from_numpy(batch.label).to(device).long()


def trained(cohort: Cohort, device: torch.device, steps: int) -> torch.nn.Module:
    """A network after so many steps, so that its masks are not mere noise; in eval mode."""
    learner = learner_of(parts_of(cohort, device), device)
    for _, (image, label) in zip(range(steps), batches_of(cohort, device), strict=False):
        learner.step(image, label)
    return learner.network.eval()


def ready(network: torch.nn.Module, device: torch.device, precision: str) -> torch.nn.Module:
    """A copy to predict with, as the product makes it ready."""
    copied = round_convolutions(copy.deepcopy(network), PRECISIONS[precision]).to(device)
    return lay_out(copied, device).eval()


def logits_of(
    networks: Sequence[torch.nn.Module], image: torch.Tensor, cohort: Cohort, device: torch.device, precision: str,
    *, step: float = 0.5, tta: bool = False, budget: InferenceBudget = EXHAUSTIVE,
) -> torch.Tensor:  # fmt: skip
    """float32 [K, Z, Y, X] on the CPU, of networks made ready in that precision on that device."""
    axes = DefaultTrainer.config.mirrored(cohort.plan) if tta else ()
    ensemble = FoldEnsemble(networks, cohort.classes, axes, device, PRECISIONS[precision])
    air = air_level(image)
    (logits,) = predict_logits(ensemble, image, cohort.plan.patch, step=step, budgets=(budget,), air_below=air)
    return logits.cpu()


def alike(logits: torch.Tensor, wanted: torch.Tensor) -> tuple[float, float]:
    """How far logits are from those wanted, as a share of their norm, and the share of voxels of the same class."""
    error = (logits - wanted).norm() / wanted.norm()
    return float(error), float((logits.argmax(0) == wanted.argmax(0)).float().mean())


def dice(logits: torch.Tensor, label: np.ndarray) -> float:
    """Of the first class against the rest; 1 where both are empty."""
    guess, truth = logits.argmax(0).numpy() > 0, np.asarray(label) > 0
    both = int(guess.sum() + truth.sum())
    return 2 * int((guess & truth).sum()) / both if both else 1.0

"""A full-size head by five networks in eight mirrorings: ours, all of it and sparingly, beside nnU-Net's predictor."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import partial

import torch

from benchmarks.gpu_day.day import Day
from benchmarks.gpu_day.findings import Figure, at_least, left_out, noted
from benchmarks.gpu_day.learning import PRECISIONS, alike, logits_of, ready, trained
from benchmarks.gpu_day.nnunet import predictor_of
from vmseg_auto.planning.inference_budget import EXHAUSTIVE, InferenceBudget
from vmseg_auto.utils.devices import reduced_precision
from vmseg_trainers.default import DefaultTrainer

FOLDS = 5
ECONOMY = InferenceBudget(passes=4, gate=0.03)
"""One such as cross-validation finds; here it is given, as time does not ask how it was found."""
SHARE = 0.5
"""Of nnU-Net's time, at most."""
SAME_CLASS = 0.99


def find(day: Day) -> Iterator[Figure]:
    cohort = day.cohort("head")
    image = day.image(cohort.validation(1)[0])
    networks = [
        _varied(network, fold) for fold, network in enumerate([trained(cohort, day.device, day.size(40, 3))] * FOLDS)
    ]
    dtype = reduced_precision(day.device)
    precision = next(name for name, kind in PRECISIONS.items() if kind is dtype)
    own = [ready(network, day.device, precision) for network in networks]
    ask = partial(logits_of, own, image, cohort, day.device, precision, tta=True)
    ask(budget=InferenceBudget(passes=1))  # to warm up
    found: dict[str, torch.Tensor] = {}
    whole = day.seconds(lambda: found.update(all=ask(budget=EXHAUSTIVE)))
    sparing = day.seconds(lambda: found.update(some=ask(budget=ECONOMY)))
    yield noted("all of it", whole, "s")
    yield noted(f"sparingly ({ECONOMY.passes} passes, gate {ECONOMY.gate:g})", sparing, "s")
    torch.backends.cudnn.benchmark = True  # prediction leaves it off, so that a card gives the same mask every time
    ask(budget=InferenceBudget(passes=1))
    yield noted("all of it, cudnn.benchmark on", day.seconds(lambda: ask(budget=EXHAUSTIVE)), "s")
    torch.backends.cudnn.benchmark = False
    yield noted("voxels of the same class, sparingly", alike(found["some"], found["all"])[1])
    if why := day.why_no_nnunet:
        yield left_out("beside nnU-Net", why)
        return
    axes = DefaultTrainer.config.mirrored(cohort.plan)
    predictor = predictor_of(cohort, networks, axes, day.device, day.folder / "nnunet" / "head")
    if day.cuda:
        predictor.predict_sliding_window_return_logits(image)  # to warm up
    theirs = day.seconds(lambda: found.update(theirs=predictor.predict_logits_from_preprocessed_data(image)))
    yield noted("nnU-Net", theirs, "s")
    yield day.target("ours, of nnU-Net's time", whole / theirs, SHARE)
    yield day.target("sparingly, of nnU-Net's time", sparing / theirs, SHARE)
    yield at_least("voxels of the same class as nnU-Net's", alike(found["all"], found["theirs"].float())[1], SAME_CLASS)


def _varied(network: torch.nn.Module, fold: int) -> torch.nn.Module:
    """A network a little unlike, as those of other folds are."""
    varied = copy.deepcopy(network)
    generator = torch.Generator().manual_seed(fold)
    with torch.no_grad():
        for weight in varied.parameters():
            noise = torch.randn(weight.shape, generator=generator).to(weight)
            weight.mul_(1 + 0.01 * noise)
    return varied

"""Trains a fold for some steps, alone or as one of the processes that torchrun starts; keeps losses and gradients.

Run by `python -m benchmarks.drivers.shared_steps` or `torchrun -m benchmarks.drivers.shared_steps`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from vmseg_auto.data.dataset import fold_cases
from vmseg_auto.data.workspace import Workspace
from vmseg_auto.registry import load_trainer
from vmseg_auto.training.fold_data import FoldSetup
from vmseg_auto.training.loop import EpochRecord, Hooks, train_fold
from vmseg_auto.utils.devices import choose_device
from vmseg_auto.utils.distributed import joined
from vmseg_auto.workflows.paths import read_fingerprint, read_plan, read_splits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--set", nargs="*", default=[], help="settings of the config")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--onednn", action="store_true", help="let the CPU's convolutions be oneDNN's, as usual")
    parser.add_argument("--figures", type=Path, required=True, help="where to write losses, gradients and weights")
    arguments = parser.parse_args()
    found = steps(arguments.workspace, arguments.steps, arguments.set, arguments.device, arguments.onednn)
    if found:
        torch.save(found, arguments.figures)


def steps(
    workspace: Path, count: int, settings: list[str], device_name: str = "cpu", onednn: bool = False
) -> dict[str, Any]:
    """Fold 0 in float32; nothing for ranks but the first.

    Unless asked for, oneDNN is left out: it takes other algorithms for other sizes of a batch, with other rounding.

    Returns:
        losses: of each step; gradients: of the first, by the weight's name, clipped; weights: after the last;
        alike: whether all ranks end with the same weights.
    """
    space = Workspace(workspace)
    plan, fingerprint = read_plan(space, None), read_fingerprint(space)
    cases = fold_cases(read_splits(space), 0, sorted(fingerprint.cases))
    trainer = load_trainer("default")
    config = replace(
        trainer.config.with_settings(settings), amp=False, epochs=count, iterations_per_epoch=1, monitor_cases=0
    )
    gradients: dict[str, torch.Tensor] = {}
    losses = _Losses()
    with joined() as ranks, convolutions(onednn):
        device = choose_device(device_name)
        torch.manual_seed(ranks.rank)  # the first one's weights are taken
        parts = trainer(plan, config, device, len(fingerprint.channels), len(fingerprint.labels))
        named = list(parts.network.named_parameters())

        def keep(*about: Any) -> None:
            if not gradients:
                gradients.update({name: w.grad.detach().cpu().clone() for name, w in named if w.grad is not None})

        parts.optimizer.register_step_pre_hook(keep)
        preprocessed = space.preprocessed(plan.voxels_hash)
        end = train_fold(FoldSetup(parts, plan, preprocessed, cases, 0, device), losses, workers=1, ranks=ranks)
        sums = ranks.all_gather([float(tensor.double().sum()) for tensor in end.weights.values()])
    if not ranks.is_main:
        return {}
    alike = all(one == sums[0] for one in sums)
    return {"losses": losses.values, "gradients": gradients, "weights": end.weights, "alike": alike}


class _Losses(Hooks):
    """Keeps the training loss of each epoch."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def epoch_ended(self, record: EpochRecord) -> None:
        self.values.append(record.train_loss)


@contextmanager
def convolutions(onednn: bool) -> Iterator[None]:
    """Compute them with oneDNN, or without. torch.backends.mkldnn.flags warns of what it sets besides."""
    switch: Any = torch.backends.mkldnn.set_flags
    before = switch(_enabled=onednn)
    try:
        yield
    finally:
        switch(_enabled=before[0])


if __name__ == "__main__":
    main()

"""Time training steps of ours, through the training loop with the default trainer. The workspace must be preprocessed.

Nothing heavy is imported at the top: spawned workers import this module too, and must stay as light as they are under
vmseg_train.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path


class Stopwatch:
    """Notes when each step ends and when the network is given the next batch.

    What lies between them is reported as waiting for data. It holds the copy to the device too: an upper bound.
    """

    def __init__(self) -> None:
        self.ended: list[float] = []
        self.begun: list[float] = []

    def step_ended(self) -> None:
        self.ended.append(time.perf_counter())

    def forward_begins(self, module: object, arguments: object) -> None:
        if len(self.begun) == len(self.ended):  # samples with threads of their own begin one by one
            self.begun.append(time.perf_counter())

    def figures(self, warm_up: int, steps: int) -> dict[str, float]:
        took = self.ended[-1] - self.ended[warm_up - 1]
        pairs = zip(self.ended[warm_up - 1 : -1], self.begun[warm_up:], strict=True)
        waited = sum(begun - ended for ended, begun in pairs)
        return {"step_s": took / steps, "wait_share": waited / took, "steps": steps}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--warm-up", type=int, required=True, help="at least 1")
    parser.add_argument("--figures", type=Path, required=True)
    parser.add_argument("--set", nargs="*", default=[], help="settings of the config")
    arguments = parser.parse_args()
    watch = Stopwatch()
    train(arguments.workspace, arguments.warm_up + arguments.steps, watch, arguments.set)
    arguments.figures.write_text(json.dumps(watch.figures(arguments.warm_up, arguments.steps)))


def train(workspace: Path, steps: int, watch: Stopwatch, settings: Sequence[str] = ()) -> None:
    """Take that many steps on fold 0 with the default trainer and these settings, on the CPU."""
    from vmseg_auto.data.dataset import fold_cases
    from vmseg_auto.data.workspace import Workspace
    from vmseg_auto.registry import load_trainer
    from vmseg_auto.training.fold_data import FoldSetup, default_workers
    from vmseg_auto.training.loop import Hooks, train_fold
    from vmseg_auto.utils.devices import choose_device
    from vmseg_auto.workflows.paths import read_fingerprint, read_plan, read_splits

    class Timed(Hooks):
        def step_ended(self, epoch: int, step: int) -> None:
            watch.step_ended()

    space, device = Workspace(workspace), choose_device("cpu")
    plan, fingerprint = read_plan(space, None), read_fingerprint(space)
    trainer = load_trainer("default")
    config = replace(
        trainer.config.with_settings(settings),
        epochs=1,
        iterations_per_epoch=steps,
        validation_share=0.0,
        monitor_cases=0,
    )
    parts = trainer(plan, config, device, len(fingerprint.channels), len(fingerprint.labels))
    parts.network.register_forward_pre_hook(watch.forward_begins)
    cases = fold_cases(read_splits(space), 0, sorted(fingerprint.cases))
    preprocessed = space.preprocessed(plan.voxels_hash)
    setup = FoldSetup(parts, plan, preprocessed, cases, 0, device)
    train_fold(setup, Timed(), workers=default_workers(device))


if __name__ == "__main__":
    main()

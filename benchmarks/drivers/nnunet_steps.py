"""Time training steps of nnU-Net with its own trainer, loaders and workers. Runs in nnU-Net's environment, alone.

With --save what was learnt stays, as nnU-Net's final checkpoint; the learning rate then falls over the steps, or over
the --seconds given in their place, as nnU-Net's does over its epochs.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--plans", default="nnUNetPlans")
    parser.add_argument("--configuration", default="3d_fullres")
    parser.add_argument("--fold", default="0", help='a number, or "all"')
    parser.add_argument("--steps", type=int, default=0, help="after the warm-up; needless with --seconds")
    parser.add_argument("--seconds", type=float, help="take as many steps as fit")
    parser.add_argument("--warm-up", type=int, default=0)
    parser.add_argument("--threads", type=int, default=multiprocessing.cpu_count())  # as nnUNetv2_train does for a CPU
    parser.add_argument("--seed", type=int, help="of the first weights")
    parser.add_argument("--figures", type=Path, required=True)
    parser.add_argument("--save", action="store_true")
    parser.add_argument("--validate", action="store_true", help="and predict the cases for a cascade's next stage")
    arguments = parser.parse_args()

    import torch
    from nnunetv2.run.run_training import get_trainer_from_args
    from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler

    torch.set_num_threads(arguments.threads)
    if arguments.seed is not None:
        torch.manual_seed(arguments.seed)
    fold = arguments.fold if arguments.fold == "all" else int(arguments.fold)
    trainer = get_trainer_from_args(
        arguments.dataset, arguments.configuration, fold, plans_identifier=arguments.plans, device=torch.device("cpu")
    )
    trainer.on_train_start()
    trainer.on_epoch_start()
    trainer.on_train_epoch_start()
    end = arguments.seconds or arguments.warm_up + arguments.steps
    schedule = PolyLRScheduler(trainer.optimizer, trainer.initial_lr, end) if arguments.save else None
    step, waited, start = 0, 0.0, time.perf_counter()
    began = start
    while (done := time.perf_counter() - start if arguments.seconds else step) < end:
        if step == arguments.warm_up:
            waited, began = 0.0, time.perf_counter()
        if schedule:
            schedule.step(done)
        asked = time.perf_counter()
        batch = next(trainer.dataloader_train)
        waited += time.perf_counter() - asked
        trainer.train_step(batch)
        step += 1
    took, steps = time.perf_counter() - began, step - arguments.warm_up
    figures = {"step_s": took / steps, "wait_share": waited / took, "steps": steps}
    if arguments.save:
        trainer.save_checkpoint(str(Path(trainer.output_folder) / "checkpoint_final.pth"))
    if arguments.validate:
        trainer.perform_actual_validation()
    arguments.figures.write_text(json.dumps(figures))
    os._exit(0)  # what is left of the session is ended by whoever measures


if __name__ == "__main__":
    main()

"""What each hospital runs: a round of training on its own cases, from the weights that came and back to weights.

The dataset must be planned with the merged fingerprint of all sites. Images and masks never leave the site.
"""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from exchange import load_weights, write_model
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

import vmseg_auto
from vmseg_auto.data.workspace import Workspace
from vmseg_auto.utils.atomic import read_stored
from vmseg_trainers.default import DefaultTrainer

if TYPE_CHECKING:
    import torch

    from vmseg_auto.contracts import Parts
    from vmseg_auto.planning.plan import Plan
    from vmseg_auto.planning.training_config import TrainingConfig


class FederatedTrainer:
    """The default trainer under a name of its own, so that rounds never touch what the site has trained for itself."""

    name = "federated"
    config = replace(DefaultTrainer.config, checkpoint_every=1000, monitor_cases=0)

    def __call__(self, plan: Plan, config: TrainingConfig, device: torch.device, channels: int, classes: int) -> Parts:
        return DefaultTrainer()(plan, config, device, channels, classes)


app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train on all of the site's cases from the weights that came.

    `node_config` names the dataset's folder, and its workspace where that is not DATASET/vmseg; the message's config
    names round, plan and settings.
    """
    dataset = Path(str(context.node_config["dataset"]))
    place = Path(str(context.node_config.get("workspace", dataset / "vmseg")))
    config = message.content["config"]
    space = Workspace(place)
    plan = read_stored(vmseg_auto.Plan, space.plan("default"))
    if plan.content_hash != config["plan"]:
        raise ValueError("this site has another plan: run vmseg_plan_and_preprocess --merge-fingerprints here again")
    fingerprint = read_stored(vmseg_auto.Fingerprint, space.fingerprint)
    with TemporaryDirectory() as folder:
        write_model(Path(folder, "model"), plan, fingerprint, message.content["arrays"].to_torch_state_dict())
        run = vmseg_auto.train(
            ["all"],
            dataset=dataset,
            workspace=place,
            trainer="site_app:FederatedTrainer",
            settings=[*shlex.split(str(config["settings"])), f"seed={config['server-round']}"],
            init=Path(folder, "model"),
            fresh=True,
        )
    reply = {
        "arrays": ArrayRecord(load_weights(run.folder)),
        "metrics": MetricRecord({"num-examples": len(fingerprint.cases)}),
    }
    return Message(content=RecordDict(reply), reply_to=message)

"""What the coordinator runs: FedAvg (McMahan et al., AISTATS 2017) over the sites' weights. It sees no image."""

from __future__ import annotations

from pathlib import Path

from exchange import write_model
from flwr.app import ArrayRecord, ConfigRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

import vmseg_auto
from vmseg_auto.networks.unet import build_network
from vmseg_auto.utils.atomic import read_stored

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Average the sites' weights, each weighted by its number of cases, and write the model.

    `run_config` names plan.json and fingerprint_merged.json of any site, the folder to make, the number of sites and
    rounds, and the settings of a round's training.
    """
    config = context.run_config
    plan = read_stored(vmseg_auto.Plan, Path(str(config["plan"])))
    cohort = read_stored(vmseg_auto.Fingerprint, Path(str(config["cohort"])))
    network = build_network(plan.network, len(cohort.channels), len(cohort.labels))
    sites = int(config["sites"])
    strategy = FedAvg(fraction_evaluate=0.0, min_train_nodes=sites, min_available_nodes=sites, min_evaluate_nodes=0)
    result = strategy.start(
        grid,
        initial_arrays=ArrayRecord(network.state_dict()),
        num_rounds=int(config["rounds"]),
        timeout=float("inf"),
        train_config=ConfigRecord({"plan": plan.content_hash, "settings": str(config["settings"])}),
    )
    weights = result.arrays.to_torch_state_dict()
    write_model(Path(str(config["output"])), plan, cohort, weights, str(config["settings"]))

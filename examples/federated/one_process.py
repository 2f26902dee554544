"""Coordinator and sites in one process, to try a federation out before it is set up between hospitals.

cd examples/federated
python one_process.py NORTH SOUTH -o MODEL --rounds 3 --settings "epochs=1 iterations_per_epoch=50"

NORTH and SOUTH are dataset folders, and stay as they are: what each site would do in its own workspace goes into the
folder MODEL_sites.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path

import server_app
import site_app
from flwr.app import Context, Message, RecordDict
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

import vmseg_auto
from vmseg_auto.data.workspace import Workspace


class OneProcess(Grid):
    """Hands each message straight to the app of its site, where SuperLink and SuperNodes would carry it."""

    run = Run.create_empty(0)

    def __init__(self, spaces: Mapping[Workspace, Path]) -> None:
        self.sites = {
            number: Context(0, number, {"dataset": str(dataset), "workspace": str(space.root)}, RecordDict(), {})
            for number, (space, dataset) in enumerate(spaces.items(), 1)
        }
        self.replies: dict[str, Message] = {}
        TaskIdentity.run_id = TaskIdentity.node_id = TaskIdentity.task_id = 0  # of whoever makes messages

    def set_run(self, run: Run) -> None:
        self.run = run

    def get_node_ids(self) -> Iterable[int]:
        return list(self.sites)

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        return Message(content, dst_node_id, message_type, group_id=group_id, ttl=ttl)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        answered = [site_app.app(message, self.sites[message.metadata.dst_node_id]) for message in messages]
        named = {str(len(self.replies) + number): reply for number, reply in enumerate(answered)}
        self.replies |= named
        return list(named)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        return [self.replies[name] for name in message_ids]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        return self.pull_messages(self.push_messages(messages))


def plan_together(spaces: Mapping[Workspace, Path], memory_gb: float) -> None:
    """What each site does by itself: give its fingerprint away, then plan with everybody's."""
    for space, dataset in spaces.items():
        vmseg_auto.plan_and_preprocess(dataset, space.root, memory_gb=memory_gb)
    shared = [space.shared_fingerprint for space in spaces]
    for space, dataset in spaces.items():
        vmseg_auto.plan_and_preprocess(dataset, space.root, memory_gb=memory_gb, merge_fingerprints=shared)


def federate(spaces: Mapping[Workspace, Path], output: Path, rounds: int, settings: str) -> None:
    """Run the rounds and write the model folder."""
    space = next(iter(spaces))
    config = {
        "plan": str(space.plan("default")),
        "cohort": str(space.merged_fingerprint),
        "output": str(output),
        "sites": len(spaces),
        "rounds": rounds,
        "settings": settings,
    }
    server_app.app(OneProcess(spaces), Context(0, 0, {}, RecordDict(), config))


def main() -> None:
    parser = argparse.ArgumentParser(description="Try a federation out in one process.")
    parser.add_argument("datasets", nargs="+", type=Path, metavar="DATASET")
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="MODEL", help="the model folder to make")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--settings", default="epochs=1", help='of a round at a site, such as "epochs=1 iterations_per_epoch=50"'
    )
    parser.add_argument("--memory", type=float, default=8.0, metavar="GB", help="of the plan")
    arguments = parser.parse_args()
    sites = arguments.output.with_name(f"{arguments.output.name}_sites")
    spaces = {Workspace(sites / f"{n}_{path.name}"): path for n, path in enumerate(arguments.datasets, 1)}
    plan_together(spaces, arguments.memory)
    federate(spaces, arguments.output, arguments.rounds, arguments.settings)


if __name__ == "__main__":  # worker processes import this file again
    main()

"""Networks are found by name, and a plan names no code."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from tiny import PLAN, tiny_plan

from vmseg_auto.planning.network import NetworkFamily, NetworkSpec, network_family, network_names
from vmseg_auto.planning.plan import Plan
from vmseg_auto.utils.errors import InputError

OWN = """
from vmseg_auto.planning.network import Layer, NetworkFamily
NETWORK = NetworkFamily("tiny", "cells", "cell", build=None, layers=lambda spec, classes: [Layer(0, 7, 5)])
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What pip leaves of a package that offers two networks, one of which is none."""
    (tmp_path / "own_network_of_a_test.py").write_text(OWN)
    about = tmp_path / "own_network-0.1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: own_network\nVersion: 0.1\n")
    (about / "entry_points.txt").write_text(
        "[vmseg_auto.networks]\ntiny_cells = own_network_of_a_test:NETWORK\nno_cells = own_network_of_a_test:Layer\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_network_of_a_test", raising=False)
    network_family.cache_clear()


@pytest.mark.parametrize("name", ["mednext", "plain_unet", "residual_unet"])
def test_the_networks_of_this_project_are_known(name: str) -> None:
    assert isinstance(network_family(name), NetworkFamily)
    assert name in network_names()


def test_one_of_another_package_is_counted_and_checked_as_ours_are(installed: None) -> None:
    plan = tiny_plan(builder="tiny_cells")
    assert [layer.weights for layer in plan.network.layers(2)] == [5]
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan
    with pytest.raises(InputError, match="network: arguments has an unknown field: depth"):
        tiny_plan(builder="tiny_cells", arguments={"depth": 3}).check()
    with pytest.raises(InputError, match="the network no_cells of the package own_network can't be loaded"):
        network_family("no_cells")


@pytest.mark.parametrize("name", ["os:system", "os", "families.mednext", "../mednext", "__init__", ""])
def test_a_plan_names_no_code_to_import(name: str) -> None:
    stored = json.loads(json.dumps(PLAN.to_json()))
    stored["network"]["builder"] = name
    with pytest.raises(InputError, match=r"there is no network .*Known are: .*mednext, plain_unet, residual_unet"):
        Plan.from_json(stored)


def test_a_decoder_of_unlike_stages_is_counted_from_the_finest() -> None:
    spec = NetworkSpec("plain_unet", (4, 8, 8), ((1, 1, 1), (2, 2, 2), (2, 2, 2)), ((3, 3, 3),) * 3, (1, 1, 1), (3, 1))
    decoder = [layer.stage for layer in spec.layers(2)][3:]
    assert decoder == [0, 0, 0, 0, 1, 1, 0]  # a transposed and three convolutions; a transposed and one; the logits

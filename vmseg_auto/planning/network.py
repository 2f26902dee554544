"""A network in numbers, and the table of the networks that are known; no torch, so that planners can ask."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from math import prod
from typing import TYPE_CHECKING, Any

from vmseg_auto.utils.entry_points import load_entry_as
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import Shape
from vmseg_auto.utils.json_codec import decode

if TYPE_CHECKING:
    from torch import nn

Int3 = tuple[int, int, int]
FAMILIES = "vmseg_auto.networks.families"
"""The package of this project's own: each of its modules is a network, and holds it as NETWORK."""
ENTRY_POINTS = "vmseg_auto.networks"
"""The group of those of other packages."""


@dataclass(frozen=True)
class NetworkSpec:
    """A network in numbers.

    Args:
        builder: the name of its family: "plain_unet", "residual_unet", "mednext", or an installed `vmseg_auto.networks`
            entry point.
        features: channels of each stage, the finest first.
        strides: (Z, Y, X) stride on entering each stage; the first is (1, 1, 1).
        kernels: (Z, Y, X) kernel of each stage.
        blocks: convolutions (plain) or blocks of each encoder stage.
        decoder_blocks: the same of each decoder stage, the finest first, one fewer than stages.
        deep_supervision: whether each decoder level but the coarsest gets a loss.
        arguments: what its family alone needs, by name; JSON values.
    """

    builder: str
    features: tuple[int, ...]
    strides: tuple[Int3, ...]
    kernels: tuple[Int3, ...]
    blocks: tuple[int, ...]
    decoder_blocks: tuple[int, ...]
    deep_supervision: bool = True
    arguments: dict[str, Any] = field(default_factory=dict)

    @property
    def family(self) -> NetworkFamily:
        """The family that it is one of; see `network_family`."""
        return network_family(self.builder)

    @property
    def divisors(self) -> Int3:
        """Product of the strides on each axis (Z, Y, X), of which a patch is a multiple."""
        z, y, x = (prod(max(1, stride[axis]) for stride in self.strides) for axis in range(3))
        return z, y, x

    def voxels(self, patch: Shape) -> list[int]:
        """Count the voxels of a patch (Z, Y, X) at each stage; odd sizes are halved downwards."""
        sizes, size = [], patch
        for stride in self.strides:
            size = (size[0] // stride[0], size[1] // stride[1], size[2] // stride[2])
            sizes.append(prod(size))
        return sizes

    def layers(self, classes: int) -> list[Layer]:
        """List what the network's layers put out.

        Raises:
            InputError: no such family is known, or one of the family's arguments is wrong; the message names it.
        """
        self.check_arguments()
        return list(self.family.layers(self, classes))

    def check_arguments(self, where: str = "network") -> None:
        """Raise InputError where no such family is known, or one of its arguments is wrong; `where` names the place."""
        try:
            family = self.family
        except InputError as error:
            raise InputError(f"{where}: {error.problem}", remedy=error.remedy) from None
        decode(family.arguments, self.arguments, f"{where}: arguments")


@dataclass(frozen=True)
class Layer:
    """What one layer of a network costs.

    Args:
        stage: of whose resolution its output is; 0 is the finest.
        channels: of its output.
        weights: how many it learns.
    """

    stage: int
    channels: int
    weights: int = 0

    @classmethod
    def conv(cls, stage: int, inputs: int, outputs: int, kernel: Int3 = (1, 1, 1), groups: int = 1) -> Layer:
        """Return a convolution, or a transposed one, without the few weights of its bias.

        >>> Layer.conv(0, 4, 8, (3, 3, 3))
        Layer(stage=0, channels=8, weights=864)
        """
        return cls(stage, outputs, inputs * outputs * prod(kernel) // groups)


@dataclass(frozen=True)
class NoArguments:
    """Those of a family that needs none beside the numbers of every NetworkSpec."""


@dataclass(frozen=True)
class Counterpart:
    """What nnU-Net v2 calls the same network.

    Args:
        classes: paths of its classes, as its plans name them.
        blocks: the argument of these that counts the blocks of the encoder's stages.
        tensor_name: (the name of one of our tensors, the network) -> nnU-Net's name of it.
    """

    classes: tuple[str, ...]
    blocks: str
    tensor_name: Callable[[str, NetworkSpec], str]


@dataclass(frozen=True)
class NetworkFamily:
    """All that the program has to know of a kind of network: an entry of the table.

    Args:
        title: for people.
        block: what a stage of the encoder is made of, in the plural.
        decoder_block: what one of the decoder is made of, in the singular.
        build: (the network's numbers, image channels, classes with the background) -> a module that maps
            [B, channels, Z, Y, X] to logits [B, classes, Z, Y, X], of any size that is a multiple of the strides'
            product; while training to a list of logits, the finest first. It imports torch when it is called, so
            that planning stays light.
        layers: (the network's numbers, classes) -> its layers. The memory that training takes grows in proportion to
            what they put out.
        arguments: frozen dataclass of what `NetworkSpec.arguments` may hold; it is checked field by field, and its
            `__post_init__` may raise InputError.
        kept_bytes: what training in 16 bits keeps for the backward pass, of each value that its layers put out: 4 where
            a norm follows each convolution.
        nnunet: the counterpart in nnU-Net v2, whose models can then be imported; None where there is none.
    """

    title: str
    block: str
    decoder_block: str
    build: Callable[[NetworkSpec, int, int], nn.Module]
    layers: Callable[[NetworkSpec, int], Iterable[Layer]]
    arguments: type = NoArguments
    kept_bytes: float = 4.0
    nnunet: Counterpart | None = None


@cache
def network_family(name: str) -> NetworkFamily:
    """Return the family of this name: a module of `vmseg_auto.networks.families`, or an installed entry point.

    The name comes from plans and models, which strangers may have made: it is looked up, and never imported as it is.

    Raises:
        InputError: no family of this name is known, or an installed one is broken.
    """
    if name in _own():
        family: NetworkFamily = importlib.import_module(f"{FAMILIES}.{name}").NETWORK
        return family
    if name in (installed := entry_points(group=ENTRY_POINTS)).names:
        return load_entry_as(installed[name], NetworkFamily, "network", "docs/extending/network.md")
    raise InputError(
        f"there is no network {name[:80]!r}",
        remedy=f"Known are: {', '.join(network_names())}. Install the package it is from.",
    )


def network_names() -> list[str]:
    """Return the names of all known families, sorted."""
    return sorted({*_own(), *entry_points(group=ENTRY_POINTS).names})


def _own() -> list[str]:
    return [module.name for module in pkgutil.iter_modules(importlib.import_module(FAMILIES).__path__)]

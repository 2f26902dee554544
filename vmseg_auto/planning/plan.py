"""What a planner decides, and what every later step obeys."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from vmseg_auto.planning.network import Int3, NetworkSpec
from vmseg_auto.utils.errors import DatasetError, InputError
from vmseg_auto.utils.geometry import Geometry, Shape, Spacing, order_along
from vmseg_auto.utils.json_codec import Stored, digest, encode
from vmseg_auto.utils.text import by_axes

PLUGIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
"""Of a planner or trainer: it names a folder, and in a file never code to import."""
MOST_WEIGHTS = 400_000_000
"""2 GB and a half of them would be read before a mistake is noticed; nnU-Net's largest network has a quarter."""
MOST_VALUES = 2**31
"""Of the widest layer for one patch: 8 GB."""
Scheme = Literal["zscore", "zscore_in_mask", "ct", "none"]


@dataclass(frozen=True)
class Normalization:
    """How one channel's intensities are normalised.

    Args:
        scheme: "zscore" a scan; "zscore_in_mask" within its non-zero region; "ct": clipped to lower and upper,
            then (x - mean) / std with the cohort's numbers; "none".
    """

    scheme: Scheme
    mean: float = 0.0
    std: float = 1.0
    lower: float = 0.0
    upper: float = 0.0


@dataclass(frozen=True)
class Plan(Stored):
    """Everything decided before training.

    Args:
        planner, trainer: the planner that made it, and the trainer used unless another is named.
        axes: order in which the scan's (Z, Y, X) axes are taken; the coarsest comes first. All the numbers
            below are in this order.
        spacing_mm: target spacing; the first number counts for nothing where slices are taken one by one.
        median_shape: the cohort's median shape at that spacing, in voxels.
        patch: patch size in voxels; of one slice for a 2-D network.
        batch_size: patches a step.
        normalization: one for each channel.
        network: the network's numbers.
        left_right: which of the axes runs between the patient's left and right. Scans are turned round so that every
            axis runs the same way in all of them. None where that differs within the cohort, and in an imported
            model: scans are taken as they are stored.
        patient_axes: for each of the axes, the patient's that it runs closest to (`Geometry.patient_axes`). The axes of
            a scan that is stored in another order are put into this one. None where the cohort does not agree on it.
        first_stage: of a cascade, the planner whose masks the network is given beside the image; empty elsewhere.
        regions: where labels overlap, the values of masks that each of the network's outputs stands for; empty where
            each label is a value of its own.
        memory_gb: the memory budget that it was planned for; 0 in an imported model.
        fingerprint_hash: the cohort that it was planned from; empty in an imported model.
        reasons: why, in words.
        planned_hash: hash of the plan as planned, so that a later edit is noticed.
    """

    planner: str
    trainer: str
    axes: Int3
    spacing_mm: Spacing
    median_shape: Shape
    patch: Shape
    batch_size: int
    normalization: tuple[Normalization, ...]
    network: NetworkSpec
    memory_gb: float
    fingerprint_hash: str
    left_right: int | None = None
    patient_axes: Int3 | None = None
    first_stage: str = ""
    regions: tuple[tuple[int, ...], ...] = ()
    reasons: tuple[str, ...] = ()
    planned_hash: str = ""
    schema: int = 2

    @property
    def content_hash(self) -> str:
        """Hash of all that changes a result: not of reasons, names of the default trainer or hashes."""
        told = encode(replace(self, reasons=(), planned_hash="", trainer="", fingerprint_hash="", memory_gb=0.0))
        if self.left_right is None:
            del told["left_right"]  # plans from before it was known keep their hash
        if self.patient_axes is None:
            del told["patient_axes"]
        if not self.first_stage:
            del told["first_stage"]
        if not self.regions:
            del told["regions"]
        return digest(told)

    @property
    def by_slice(self) -> bool:
        """Whether the network is given one slice at a time, as nnU-Net's 2d configuration is."""
        return self.patch[0] == 1

    def mask_channels(self, classes: int) -> int:
        """Count the channels beside the image's: a mask of each label by the first stage, if there is one.

        Where labels overlap, that is one of each value that a mask may hold.
        """
        return len(self.mask_values(classes)) if self.first_stage else 0

    def label_values(self, classes: int) -> tuple[tuple[int, ...], ...]:
        """Return which values of a mask are in each label but the background, of so many with it."""
        return self.regions or tuple((value,) for value in range(1, classes))

    def mask_values(self, classes: int) -> list[int]:
        """Return the values other than 0 that a mask may hold, of so many labels with the background."""
        return sorted({value for held in self.label_values(classes) for value in held})

    def axes_of(self, geometry: Geometry) -> Int3:
        """Return the order in which a scan's (Z, Y, X) axes are taken.

        Args:
            geometry: the scan's grid.
        """
        return self.axes if self.patient_axes is None else order_along(geometry.patient_axes, self.patient_axes)

    def target_spacing(self, spacing: Spacing) -> Spacing:
        """Return the spacing in mm that a scan is resampled to: slices taken one by one stay as thick as they are.

        Args:
            spacing: the scan's, in mm, in the plan's order of axes.
        """
        return (spacing[0], *self.spacing_mm[1:]) if self.by_slice else self.spacing_mm

    def spacing_text(self, between: str = " x ") -> str:
        """Return what scans are resampled to: "5 x 0.7 x 0.7 mm", or "0.7 x 0.7 mm in the slices"."""
        if self.by_slice:
            return f"{by_axes(self.spacing_mm[1:], between=between)} mm in the slices"
        return f"{by_axes(self.spacing_mm, between=between)} mm"

    @property
    def voxels_hash(self) -> str:
        """Hash of what decides a preprocessed case's voxels."""
        turned = [] if self.left_right is None else ["turned", *(self.patient_axes or ())]
        spacing = [*self.spacing_mm[1:], "by slice"] if self.by_slice else self.spacing_mm
        return digest([self.axes, spacing, self.normalization, *turned, *([self.regions] if self.regions else [])])

    @property
    def edited(self) -> bool:
        """Whether the file was changed by hand since it was planned."""
        return self.planned_hash != self.content_hash

    def sealed(self) -> Plan:
        """Return this plan with its own hash, as it is stored."""
        return replace(self, planned_hash=self.content_hash)

    def check(self, where: str = "plan.json") -> None:
        """Refuse a plan that can't work.

        Raises:
            InputError: no network of this name is known, or one of its arguments is wrong.
            DatasetError: every other impossible value, listed.
        """
        self.network.check_arguments(f"{where}: network")
        errors = [InputError(text) for text in _impossible(self)]
        if errors:
            raise DatasetError(
                f"{where}: this plan can't work", errors, remedy="Mend these values, or delete the file to plan anew."
            )


def _impossible(plan: Plan) -> list[str]:
    totals = plan.network.divisors
    found = [
        f"{kind} is {name[:80]!r}, not the plain name of one that is installed (letters, digits, _, . and -)"
        for kind, name in (("planner", plan.planner), ("trainer", plan.trainer), ("first_stage", plan.first_stage))
        if (name or kind != "first_stage") and not PLUGIN_NAME.fullmatch(name)
    ]
    if sorted(plan.axes) != [0, 1, 2]:
        found.append(f"axes {plan.axes} is no order of 0, 1, 2")
    if plan.left_right not in (None, 0, 1, 2):
        found.append(f"left_right {plan.left_right} is no axis: 0, 1, 2 or none")
    if plan.patient_axes is not None and sorted(plan.patient_axes) != [0, 1, 2]:
        found.append(f"patient_axes {plan.patient_axes} is no order of 0, 1, 2")
    elif plan.patient_axes is not None and plan.patient_axes.index(0) != plan.left_right:
        found.append(f"left_right {plan.left_right} is not where patient_axes {plan.patient_axes} has 0")
    if min(plan.spacing_mm) < 0.001 or max(plan.spacing_mm) > 1000:
        found.append(f"spacing {plan.spacing_mm} mm must be above 0: 0.001 to 1000 are possible")
    if not 1 <= plan.batch_size <= 4096:
        found.append(f"batch_size {plan.batch_size} must be 1 to 4096")
    found += _impossible_network(plan.network)
    found += [
        f"patch {plan.patch} is no multiple of the strides' product {total} on axis {axis}"
        for axis, total in enumerate(totals)
        if plan.patch[axis] < 1 or plan.patch[axis] % total
    ]
    if plan.patch == totals:
        found.append(f"patch {plan.patch} leaves the coarsest stage a single voxel, which can't be normalised")
    if max(plan.patch) > 2048:
        found.append(f"patch {plan.patch} is larger than 2048 voxels on an axis")
    if not found:
        found += _beyond_memory(plan)
    if any(n.std <= 0 for n in plan.normalization):
        found.append("normalization.std must be above 0")
    if any(n.scheme == "ct" and n.lower >= n.upper for n in plan.normalization):
        found.append("normalization.lower must be below normalization.upper")
    return found


def _beyond_memory(plan: Plan) -> list[str]:
    """Describe what no machine could hold, before any memory is taken."""
    found, voxels, layers = [], plan.network.voxels(plan.patch), plan.network.layers(classes=1)
    values = max(voxels[layer.stage] * layer.channels for layer in layers)
    weights = sum(layer.weights for layer in layers)
    if values > MOST_VALUES:
        found.append(f"a patch {plan.patch} has {values:.1e} values in a layer, more than {MOST_VALUES:.1e}")
    if weights > MOST_WEIGHTS:
        found.append(f"the network has more than {weights:.1e} weights; {MOST_WEIGHTS:.1e} are possible")
    return found


def _impossible_network(net: NetworkSpec) -> list[str]:
    stages = len(net.features)
    found = []
    if stages < 2 or stages > 10:
        found.append(f"the network has {stages} stages; 2 to 10 are possible")
    for name, values, wanted in (
        ("strides", net.strides, stages), ("kernels", net.kernels, stages), ("blocks", net.blocks, stages),
        ("decoder_blocks", net.decoder_blocks, stages - 1),
    ):  # fmt: skip
        if len(values) != wanted:
            found.append(f"network.{name} has {len(values)} entries, but {stages} features want {wanted}")
    if any(f < 1 or f > 4096 for f in net.features) or any(b < 1 or b > 64 for b in (*net.blocks, *net.decoder_blocks)):
        found.append("network.features must be 1 to 4096 and blocks 1 to 64")
    if any(k < 1 or k > 15 or k % 2 == 0 for kernel in net.kernels for k in kernel):
        found.append("network.kernels must be odd numbers, 1 to 15")
    if any(s not in (1, 2, 4) for stride in net.strides for s in stride):
        found.append("network.strides must be 1, 2 or 4")
    if net.strides and net.strides[0] != (1, 1, 1):
        found.append(f"network.strides must begin with (1, 1, 1), not {net.strides[0]}")
    return found

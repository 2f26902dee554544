"""A plan's reasons, in words for those who will use it."""

from __future__ import annotations

from vmseg_auto.planning.network import Int3, NetworkSpec
from vmseg_auto.planning.plan import Normalization
from vmseg_auto.utils.geometry import Shape, Spacing
from vmseg_auto.utils.text import counted

from .grids import PATCH_SHARE
from .topology import MIN_EDGE, Size, Topology


def spacing(target: Spacing, finer: bool) -> str:
    shown = _mm(target)
    if not finer:
        return f"spacing {shown} mm: the cohort's median along each axis"
    return (
        f"spacing {shown} mm: the cohort's median in-plane; across the slices, which are more than 3 times as thick "
        "and fewer than a third as many, the finest tenth of the scans decides, so that their detail is kept"
    )


def spacing_in_slices(target: Spacing) -> str:
    return (
        f"spacing {_mm(target[1:])} mm in the slices: the cohort's median along each axis; slices are taken one by one "
        "and stay as thick as each scan has them"
    )


def lower_spacing(target: Spacing, full: Spacing) -> str:
    return (
        f"spacing {_mm(target)} mm: made coarser, from {_mm(full)} mm, until a patch holds "
        f"{100 * PATCH_SHARE:g} % of a median scan"
    )


def axes(first: int) -> str:
    return f"axes: the scans' {'zyx'[first]} axis has the longest voxels, so it comes first in all these numbers"


def orientation(left_right: int | None, patient_axes: Int3 | None) -> str:
    if left_right is None:
        return "orientation: the scans' axes run along different ones of the patient's, so they are taken as stored"
    ordered = "" if patient_axes is None else "comes at the same place and "
    return (
        f"orientation: axis {left_right} runs between the patient's left and right; scans are turned round so that "
        f"every axis {ordered}runs the same way in all of them, and masks are turned back"
    )


def network(spec: NetworkSpec) -> str:
    family, blocks = spec.family, ", ".join(map(str, spec.blocks))
    text = (
        f"network: {family.title}: {blocks} {family.block} in the encoder's stages, the finest first, and "
        f"{counted(spec.decoder_blocks[0], family.decoder_block)} in each of the decoder's"
    )
    own = [f"{name} {str(value).strip('[]')}" for name, value in spec.arguments.items()]
    return "; ".join([text, *own])


def patch(size: Shape, median: Size, memory_gb: float, held: float, needed: int) -> str:
    skipped, shape, whole = (1, "slice", "slice") if size[0] == 1 else (0, "shape", "scan")
    text = f"patch {_times(size)}: median {shape} {_times(median[skipped:])}; {memory_gb:g} GB allow {held / 1e6:.4g} "
    text += f"million values in the network's layers, and this patch makes {needed / 1e6:.4g} million"
    if all(n >= edge for n, edge in zip(size[skipped:], median[skipped:], strict=True)):
        return f"{text}; it holds a whole median {whole}"
    return text


def stages(topology: Topology) -> str:
    z, y, x = (divisor.bit_length() - 1 for divisor in topology.divisors)
    smallest = _times(tuple(n // d for n, d in zip(topology.patch, topology.divisors, strict=True)))
    flat = topology.kernels.count((1, 3, 3))
    text = (
        f"{topology.stages} stages: axes are halved while they keep {MIN_EDGE} voxels, the finest first and the others "
        f"once voxels differ less than twofold: {z}, {y} and {x} times, to {smallest} voxels at the bottom"
    )
    if flat == topology.stages:
        text += "; kernels are 1x3x3 in all stages, so slices never mix"
    elif flat:
        text += (
            f"; kernels are 1x3x3 in the first {'stage' if flat == 1 else f'{flat} stages'}, so slices do not mix there"
        )
    return text


def batch(chosen: tuple[int, int, int], memory_gb: float, dataset_share: float) -> str:
    size, by_memory, by_dataset = chosen
    text = (
        f"batch {size}: {memory_gb:g} GB hold {by_memory} such patches, {100 * dataset_share:g} % of the cohort's "
        f"voxels fill {by_dataset}"
    )
    return f"{text}, and 2 is the least" if size > min(by_memory, by_dataset) else text


def normalization(channel: str, how: Normalization, relative_size: float) -> str:
    match how.scheme:
        case "ct":
            text = (
                f"clipped to {how.lower:.4g} to {how.upper:.4g}, then (x - {how.mean:.4g}) / {how.std:.4g}: CT units "
                "are fixed"
            )
        case "none":
            text = "left as it is, as its name asks"
        case "zscore":
            text = "each scan's mean becomes 0 and its standard deviation 1, as MRI has no fixed units"
        case "zscore_in_mask":
            text = (
                "each scan's mean becomes 0 and its standard deviation 1 within the non-zero region, "
                f"as only {100 * relative_size:.3g} % of the voxels are in its box"
            )
    return f"intensities of {channel}: {text}"


def _mm(spacing: tuple[float, ...]) -> str:
    return " x ".join(f"{edge:.4g}" for edge in spacing)


def _times(values: tuple[float, ...]) -> str:
    return "x".join(f"{value:g}" for value in values)

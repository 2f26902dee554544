"""Write a model's networks as ONNX, each compared with torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from vmseg_auto.data.runs import FoldFolder
from vmseg_auto.models.final_checkpoint import load_final
from vmseg_auto.networks.onnx import LARGEST_DIFFERENCE, WINDOWS, onnx_difference, to_onnx
from vmseg_auto.networks.unet import build_network
from vmseg_auto.utils.atomic import write_json
from vmseg_auto.utils.console import Console
from vmseg_auto.utils.errors import VmsegError
from vmseg_auto.utils.json_codec import encode
from vmseg_auto.utils.labels import count_outputs


def write_onnx(models: Mapping[str, Sequence[FoldFolder]], folder: Path, console: Console) -> float:
    """Write MODEL_FOLD.onnx for every fold, and MODEL.json: what its input and output mean.

    Args:
        models: folder name in the zip -> its finished folds.
        folder: where to.
        console: where words and progress go.

    Returns:
        The largest difference of a logit between torch and onnxruntime.

    Raises:
        InputError: the extra `onnx` is not installed, or a checkpoint is damaged.
        VmsegError: a network differs by more than LARGEST_DIFFERENCE, or a file can't be written.
    """
    largest = 0.0
    with console.progress("Comparing ONNX with torch", sum(map(len, models.values()))) as progress:
        for name, folds in models.items():
            for fold in folds:
                largest = max(largest, _write(fold, folder, name))
                progress.advance()
    console.say(
        f"Largest difference of a logit between torch and onnxruntime over {WINDOWS} windows a fold: {largest:.1e}."
    )
    return largest


def _write(fold: FoldFolder, folder: Path, name: str) -> float:
    checkpoint = load_final(fold.final)
    plan = checkpoint.plan
    channels = checkpoint.config.input_channels(plan, len(checkpoint.channels), len(checkpoint.labels))
    network = build_network(plan.network, channels, count_outputs(checkpoint.labels)).eval()
    network.load_state_dict(checkpoint.weights)
    content = to_onnx(network, channels, plan.patch)
    difference = onnx_difference(network, content, channels, plan.patch, WINDOWS)
    if difference >= LARGEST_DIFFERENCE:
        raise VmsegError(
            f"the logits of its ONNX network differ by {difference:.1e} from torch's; below {LARGEST_DIFFERENCE:g} was "
            "wanted",
            file=fold.final,
            remedy="Export without --onnx, or with other versions of torch and onnxruntime.",
        )
    (folder / f"{name}_{fold.folder.name}.onnx").write_bytes(content)
    about = {
        "input": "image: float32 [B, C, Z, Y, X]; B is free, Z, Y, X are the patch, in the plan's order of axes",
        "mask_channels": plan.mask_channels(len(checkpoint.labels)),
        "click_channels": 2 if checkpoint.config.clicks else 0,
        "output": (
            "logits: float32 [B, K, Z, Y, X]; K in the order of the labels as they are listed, without the background; "
            "a label is where its logit is above 0"
            if plan.regions
            else "logits: float32 [B, K, Z, Y, X]; K in the order of the labels' values"
        ),
        "channels": list(checkpoint.channels),
        "labels": encode(checkpoint.labels),
        "mirror_axes": list(checkpoint.config.mirrored(plan)),
        "tile_step_size": checkpoint.config.tile_step_size,
        "plan": plan.to_json(),
    }
    write_json(folder / f"{name}.json", about)
    return difference

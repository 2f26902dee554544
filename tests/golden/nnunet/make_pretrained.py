"""Make the golden files of pretrained encoders: `python tests/golden/nnunet/make_pretrained.py`.

It needs an environment with nnunetv2 2.8.1, whose networks it takes; the tests do not. That version fits nothing to a
network: its -pretrained_weights wants an equal one. The rule is that of nnU-Net's main branch
(DynamicPretrainedTrainer); here it is written down on nnU-Net's own networks and names.

pretrained/ then holds
  checkpoint.pth      a residual encoder U-Net of one channel with random weights, in the form of nnssl's checkpoints
  KIND.npz            a network to train: names, index, tensor_0, ... of its random state dict, an input `patch`
                      [1, C, Z, Y, X], and the `logits` that it gives with the pretrained encoder in it
"""

from pathlib import Path

import numpy as np
import torch
from make import weights_of
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

HERE = Path(__file__).parent / "pretrained"
CUBE = [3, 3, 3]


def network_of(features, kernels, strides, blocks, channels):
    kwargs = {
        "n_stages": len(features),
        "features_per_stage": features,
        "conv_op": "torch.nn.modules.conv.Conv3d",
        "kernel_sizes": kernels,
        "strides": strides,
        "n_blocks_per_stage": blocks,
        "n_conv_per_stage_decoder": [1] * (len(features) - 1),
        "conv_bias": True,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }
    needed = ["conv_op", "norm_op", "dropout_op", "nonlin"]
    name = "dynamic_network_architectures.architectures.unet.ResidualEncoderUNet"
    return get_network_from_plans(name, kwargs, needed, channels, 2, deep_supervision=False).eval()


def adapted(pretrained, target, channels):
    """The rule: what of the pretrained encoder the target's takes, under the target's names."""
    taken = {}
    for name, wanted in target.state_dict().items():
        if not name.startswith(("encoder.stem.", "encoder.stages.")) or name not in pretrained:
            continue
        tensor = pretrained[name]
        if name.startswith("encoder.stem.") and tensor.ndim == 5 and channels > 1:
            tensor = torch.cat([tensor] * channels, dim=1) / channels
        for axis in range(2, tensor.ndim):
            if wanted.shape[axis] == 1 and tensor.shape[axis] == 3:
                tensor = (tensor.narrow(axis, 0, 1) + tensor.narrow(axis, 1, 1) + tensor.narrow(axis, 2, 1)) / 3
        if tensor.shape == wanted.shape:
            taken[name] = tensor
    return taken


def make(kind, pretrained, seed, shape, *described):
    channels = described[-1]
    network = network_of(*described)
    state = {name: tensor.clone() for name, tensor in weights_of(network, torch.Generator().manual_seed(seed)).items()}
    network.load_state_dict(adapted(pretrained, network, channels), strict=False)
    patch = np.random.default_rng(seed).normal(0, 1, (1, channels, *shape)).astype(np.float16)
    with torch.no_grad():
        logits = network(torch.from_numpy(patch.astype(np.float32))).numpy()
    tensors, index, seen = {}, [], {}
    for name, tensor in network.state_dict().items():  # tensors with several names are one
        number = seen.setdefault(tensor.data_ptr(), len(seen))
        tensors[f"tensor_{number}"] = state[name].numpy().astype(np.float16)
        index.append(number)
    np.savez_compressed(HERE / f"{kind}.npz", names=list(state), index=index, patch=patch, logits=logits, **tensors)
    print(kind, (HERE / f"{kind}.npz").stat().st_size, "bytes")


if __name__ == "__main__":
    torch.set_num_threads(1)
    HERE.mkdir(exist_ok=True)
    halves = [[1, 1, 1], [2, 2, 2], [2, 2, 2], [2, 2, 2]]
    source = network_of([3, 4, 5, 5], [CUBE] * 4, halves, [1, 2, 2, 1], 1)
    state = weights_of(source, torch.Generator().manual_seed(1))
    plan = {
        "architecture_plans": {"arch_class_name": "ResEncL", "arch_kwargs": None, "arch_kwargs_requiring_import": None},
        "pretrain_plan": {"configurations": {"onemmiso": {"patch_size": [16, 16, 16]}}},
        "pretrain_num_input_channels": 1,
        "recommended_downstream_patchsize": [16, 16, 16],
        "key_to_encoder": "encoder.stages",
        "key_to_stem": "encoder.stem",
        "keys_to_in_proj": ["encoder.stem.convs.0.conv", "encoder.stem.convs.0.all_modules.0"],
        "key_to_lpe": None,
    }
    content = {"network_weights": state, "citations": ["none"], "nnssl_adaptation_plan": plan}
    torch.save(content, HERE / "checkpoint.pth")
    same = ([3, 4, 5, 5], [CUBE] * 4, halves, [1, 2, 2, 1])
    make("same", state, 2, (8, 16, 16), *same, 1)
    flat = [[1, 3, 3], [1, 3, 3], CUBE]
    make("flat", state, 3, (6, 16, 16), [3, 4, 5], flat, [[1, 1, 1], [1, 2, 2], [2, 2, 2]], [1, 3, 1], 2)
    deep = ([3, 4, 5, 5, 6], [CUBE] * 5, [*halves, [1, 2, 2]], [1, 1, 2, 1, 1])
    make("deep", state, 4, (16, 16, 16), *deep, 1)

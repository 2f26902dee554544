"""Make the golden files of this folder with nnU-Net itself: `python tests/golden/nnunet/make.py`.

It needs an environment with nnunetv2 2.8.1; the tests do not. For each of some small networks with random weights it
writes plans.json, dataset.json and golden.npz, which holds
  names, index, tensor_0, tensor_1, ...  the state dict: names[i] is tensor_index[i] (most stand there twice)
  patch, logits                          an input [1, C, Z, Y, X] of the network, and what it gives (Z is 1 for slices)
  image, spacing_mm, mask                a scan [C, Z, Y, X], its voxel size, and the mask by nnU-Net's predictor
"""

import json
import tempfile
from pathlib import Path

import numpy as np
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

HERE = Path(__file__).parent
RESAMPLING = {"is_seg": False, "order_z": 0, "force_separate_z": None}


def plans(axes, schemes, masked, network, **numbers):
    kwargs = {
        "n_stages": 3,
        "features_per_stage": [3, 4, 5],
        "conv_op": "torch.nn.modules.conv.Conv3d",
        "kernel_sizes": [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
        "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
        "n_conv_per_stage_decoder": [1, 2],
        "conv_bias": True,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
        **numbers,
    }
    configuration = {
        "data_identifier": "golden_3d_fullres",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": [4, 16, 12],
        "median_image_size_in_voxels": [8.0, 22.0, 20.0],
        "spacing": [3.0, 1.0, 1.2],
        "normalization_schemes": schemes,
        "use_mask_for_norm": masked,
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": {**RESAMPLING, "order": 3},
        "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_seg_kwargs": {**RESAMPLING, "is_seg": True, "order": 1},
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities_kwargs": {**RESAMPLING, "order": 1},
        "architecture": {
            "network_class_name": f"dynamic_network_architectures.architectures.unet.{network}",
            "arch_kwargs": kwargs,
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        },
        "batch_dice": False,
    }
    return {
        "dataset_name": f"Dataset001_{network}",
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": [3.0, 1.0, 1.2],
        "original_median_shape_after_transp": [8, 22, 20],
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": axes,
        "transpose_backward": list(np.argsort(axes)),
        "configurations": {"3d_fullres": configuration},
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {
            str(channel): {
                "max": 160.0, "mean": 101.5, "median": 100.0, "min": 40.0, "percentile_00_5": 71.5,
                "percentile_99_5": 128.5, "std": 9.5,
            }
            for channel in range(2)
        },
    }  # fmt: skip


def of_slices(plan):
    """The same as nnU-Net's 2d configuration."""
    configuration = plan["configurations"].pop("3d_fullres")
    for key in ("patch_size", "median_image_size_in_voxels", "spacing"):
        configuration[key] = configuration[key][1:]
    kwargs = configuration["architecture"]["arch_kwargs"]
    kwargs |= {"kernel_sizes": [[3, 3]] * 3, "strides": [[1, 1], [2, 2], [2, 2]]}
    kwargs |= {key: kwargs[key].replace("3d", "2d") for key in ("conv_op", "norm_op")}
    return {**plan, "configurations": {"2d": {**configuration, "batch_dice": True}}}


def weights_of(network, generator):
    """Random, norms included, and such that 16 bits hold them; tensors with several names stay one."""
    with torch.no_grad():
        for name, tensor in network.named_parameters():
            norm = tensor.ndim == 1 and ".norm.weight" in name
            spread = 0.3 if tensor.ndim == 1 else 1.4 / np.sqrt(tensor[0].numel())
            values = torch.randn(tensor.shape, generator=generator) * spread + norm
            tensor.copy_(values.half().float())
    return network.state_dict()


def scan(rng, shape):
    """Blobs around 100 within a rim of zeros, with a region of zeros inside the box that is left without the rim."""
    image = np.zeros((2, *shape))
    inner = (slice(None), slice(1, -1), slice(1, -1), slice(2, -3))
    coarse = rng.normal(100, 15, (2, *((n + 2) // 3 for n in shape)))
    fine = np.kron(coarse, np.ones((1, 3, 3, 3)))[(slice(None), *(slice(0, n) for n in shape))]
    image[inner] = (fine + rng.normal(0, 3, image.shape))[inner]
    image[:, : shape[0] // 2, :, : shape[2] // 3] = 0
    return image.round().astype(np.int16)


CLASSES = {"labels": {"background": 0, "core": 1, "rim": 2}}
REGIONS = {
    "labels": {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "hot": 2, "ignore": 4},
    "regions_class_order": [1, 3, 2],
}


def stage(name, plan, **changes):
    """The same as one of a cascade's configurations."""
    configuration = plan["configurations"].pop("3d_fullres")
    return {**plan, "configurations": {name: {**configuration, **changes}}}


def make(name, plan, shape, spacing_mm, mirror_axes, seed, described=CLASSES, image=None, before=None):
    """Write a folder; `before` is the mask of a cascade's first stage. Gives the scan and its mask."""
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    dataset = {"channel_names": {"0": "T2", "1": "T1"}, **described, "numTraining": 53, "file_ending": ".nii.gz"}
    plan = json.loads(json.dumps(plan, default=int))
    (folder / "plans.json").write_text(json.dumps(plan, indent=1) + "\n")
    (folder / "dataset.json").write_text(json.dumps(dataset, indent=1) + "\n")
    ((name_of_it, configuration),) = plan["configurations"].items()
    architecture = configuration["architecture"]
    channels = 2 if before is None else 4
    wanted = (dict(architecture["arch_kwargs"]), architecture["_kw_requires_import"], channels, 3)
    network = get_network_from_plans(architecture["network_class_name"], *wanted, deep_supervision=False).eval()
    state = weights_of(network, torch.Generator().manual_seed(seed))
    rng = np.random.default_rng(seed)
    patch = rng.normal(0, 1, (1, channels, *configuration["patch_size"])).astype(np.float16).astype(np.float32)
    with torch.no_grad():
        logits = network(torch.from_numpy(patch)).numpy()
    if name_of_it == "2d":
        patch, logits = patch[:, :, None], logits[:, :, None]
    image = scan(rng, shape) if image is None else image
    mask = predict(plan, dataset, state, image, spacing_mm, mirror_axes, before)
    tensors, index, seen = {}, [], {}
    for tensor in state.values():
        number = seen.setdefault(tensor.data_ptr(), len(seen))
        tensors[f"tensor_{number}"] = tensor.numpy().astype(np.float16)
        index.append(number)
    np.savez_compressed(
        folder / "golden.npz", names=np.array(list(state)), index=index, patch=patch.astype(np.float16), logits=logits,
        image=image, spacing_mm=spacing_mm, mask=mask.astype(np.uint8), mirror_axes=mirror_axes or [], **tensors,
    )  # fmt: skip
    print(name, np.bincount(mask.ravel()), (folder / "golden.npz").stat().st_size, "bytes")
    return image, mask


def predict(plan, dataset, state, image, spacing_mm, mirror_axes, before):
    """What nnU-Net's own predictor makes of the scan, from a model folder."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "plans.json").write_text(json.dumps(plan))
        (folder / "dataset.json").write_text(json.dumps(dataset))
        (folder / "fold_0").mkdir()
        checkpoint = {
            "network_weights": state,
            "trainer_name": "nnUNetTrainer",
            "init_args": {"configuration": next(iter(plan["configurations"]))},
            "inference_allowed_mirroring_axes": mirror_axes,
        }
        torch.save(checkpoint, folder / "fold_0" / "checkpoint_final.pth")
        predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
        predictor.initialize_from_trained_model_folder(place, (0,))
        given = None if before is None else before[None].astype(np.float32)
        return predictor.predict_single_npy_array(image.astype(np.float32), {"spacing": list(spacing_mm)}, given)


if __name__ == "__main__":
    torch.set_num_threads(1)
    plain = plans(
        [1, 0, 2],
        ["CTNormalization", "ZScoreNormalization"],
        [False, True],
        "PlainConvUNet",
        n_conv_per_stage=[2, 1, 2],
    )
    make("plain", plain, (20, 7, 24), (1.1, 3.6, 1.0), (0, 2), 7)
    residual = plans(
        [0, 1, 2], ["ZScoreNormalization", "NoNormalization"], [False, False], "ResidualEncoderUNet",
        n_blocks_per_stage=[1, 3, 4],
    )  # fmt: skip
    make("residual", residual, (8, 22, 20), (2.5, 1.3, 1.2), None, 4)
    slices = of_slices(
        plans(
            [1, 0, 2],
            ["ZScoreNormalization", "ZScoreNormalization"],
            [False, True],
            "PlainConvUNet",
            n_conv_per_stage=[2, 1, 2],
        )
    )
    make("slices", slices, (20, 7, 24), (1.1, 2.6, 1.3), (0, 1), 9)
    regions = plans([0, 1, 2], ["ZScoreNormalization"] * 2, [False, False], "PlainConvUNet", n_conv_per_stage=[1, 1, 1])
    make("regions", regions, (8, 22, 20), (2.5, 1.3, 1.2), (2,), 6, REGIONS)
    small = ([1, 0, 2], ["ZScoreNormalization"] * 2, [False, False], "PlainConvUNet")
    lowres = stage("3d_lowres", plans(*small, n_conv_per_stage=[1, 1, 1]), spacing=[4.0, 1.6, 1.9])
    image, mask = make("lowres", lowres, (20, 7, 24), (1.1, 3.6, 1.0), (0, 2), 5)
    cascade = stage("3d_cascade_fullres", plans(*small, n_conv_per_stage=[1, 2, 1]), previous_stage="3d_lowres")
    make("cascade", cascade, (20, 7, 24), (1.1, 3.6, 1.0), (0, 2), 2, image=image, before=mask)

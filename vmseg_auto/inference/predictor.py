"""A trained model and scans -> label maps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from vmseg_auto.data.runs import FoldName
from vmseg_auto.evaluation.confidence import Confidence
from vmseg_auto.evaluation.lesion_filter import LeftOut, apply_lesion_filter, with_least
from vmseg_auto.inference.ensemble import FoldEnsemble
from vmseg_auto.inference.outputs import with_background
from vmseg_auto.inference.sliding_window import OnProgress, budgets_at_once, predict_logits
from vmseg_auto.inference.thresholds import favour_background
from vmseg_auto.inference.uncertainty import UncertaintyEstimator
from vmseg_auto.inference.windows import air_level
from vmseg_auto.models.checkpoints import Checkpoint
from vmseg_auto.models.hashes import weights_hash
from vmseg_auto.models.load import read_stages
from vmseg_auto.models.model import ModelInfo
from vmseg_auto.models.selection_record import PLAIN_THRESHOLD
from vmseg_auto.networks.unet import build_network
from vmseg_auto.planning.inference_budget import EXHAUSTIVE, InferenceBudget
from vmseg_auto.planning.plan import Plan
from vmseg_auto.preprocessing.click_channels import with_clicks
from vmseg_auto.preprocessing.mask_channels import with_masks
from vmseg_auto.preprocessing.normalise import channels_there, intensity_profiles
from vmseg_auto.preprocessing.transform import box_slices, nonzero_box, preprocess_image, restore_labels, restore_logits
from vmseg_auto.utils.components import apply_postprocessing
from vmseg_auto.utils.console import Console, Silent
from vmseg_auto.utils.devices import choose_device, cudnn_fault, lay_out, reduced_precision, round_convolutions
from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.geometry import Box, Geometry
from vmseg_auto.utils.json_codec import digest
from vmseg_auto.utils.labels import count_outputs, written_values

if TYPE_CHECKING:
    import SimpleITK as sitk

Precision = Literal["auto", "float32"]
Backend = Literal["torch", "openvino"]
"""What computes the networks."""


@dataclass(frozen=True)
class PreprocessedScan:
    """A scan as the networks see it.

    Args:
        image: float32 [C, Z, Y, X] in the plan's axes and spacing.
        geometry: the scan's grid.
        crop_box: what was kept of it.
        budget: of each window.
        first: the scan as a cascade's first stage sees it.
    """

    image: NDArray[np.float32]
    geometry: Geometry
    crop_box: Box
    budget: InferenceBudget
    first: PreprocessedScan | None = None


@dataclass(frozen=True)
class Computed:
    """What the networks say of a scan.

    Args:
        logits: float32 [K, Z, Y, X] in the plan's axes and spacing.
        confidence: how uncertain the passes are, and how far they agree.
        geometry: the scan's grid.
        crop_box: what was kept of it.
    """

    logits: NDArray[np.float32]
    confidence: Confidence
    geometry: Geometry
    crop_box: Box


@dataclass(frozen=True)
class Prediction:
    """A scan's segmentation on its own grid.

    Args:
        mask: uint8 [Z, Y, X] of label values.
        geometry: its grid.
        confidence: how uncertain the passes are, and how far they agree.
        probabilities: float32 [K, Z, Y, X], classes in the order of their values; None unless asked for.
        p_lesion: label -> how probable it is that each of its components in the mask is a lesion, the largest first;
            empty for a model without a lesion filter.
        left_out: components that the lesion filter has left out of the mask.
    """

    mask: NDArray[np.uint8]
    geometry: Geometry
    confidence: Confidence
    probabilities: NDArray[np.float32] | None = None
    p_lesion: dict[str, tuple[float, ...]] = field(default_factory=dict)
    left_out: tuple[LeftOut, ...] = ()


class Predictor:
    """The ensemble of a model's folds, ready on one device.

    Args:
        checkpoints: the folds; all of one plan.
        info: the model's description.
        device: "auto", "cuda", "mps" or "cpu".
        tta: whether (test-time augmentation) logits are averaged over mirrored scans.
        step: distance of windows as a share of the patch; the config's unless given.
        exhaustive: run every fold on every mirroring of every window, even where cross-validation found fewer
            passes enough.
        precision: "auto" computes in 16 bits where the hardware does; "float32" never does.
        backend: what computes the networks; "openvino" does so on the CPU and in float32 alone.
        min_lesion_probability: components whose probability of being a lesion is lower are left out; as the
            cross-validation chose, unless given.
        console: is told what is done where the device's memory runs out.
        first: a cascade's first stage, whose masks the networks are given too.

    Raises:
        InputError: no checkpoint, folds of different plans or of which only some know clicks, or a model without a
            lesion filter where one is asked for; OpenVINO is not installed, or is to compute elsewhere than on the CPU.
        VmsegError: OpenVINO does not give torch's logits.
    """

    def __init__(
        self,
        checkpoints: Sequence[Checkpoint],
        info: ModelInfo,
        *,
        device: str = "auto",
        tta: bool = True,
        step: float | None = None,
        exhaustive: bool = False,
        precision: Precision = "auto",
        backend: Backend = "torch",
        min_lesion_probability: float | None = None,
        console: Console | None = None,
        first: Predictor | None = None,
    ) -> None:
        console = console or Silent()
        if step is not None and not 0 < step <= 1:
            raise InputError(f"the step is {step}", remedy="It must be above 0 and at most 1; 0.5 is usual.")
        if len({c.plan.content_hash for c in checkpoints}) != 1:
            folds = ", ".join(str(c.fold) for c in checkpoints)
            raise InputError(
                f"the folds ({folds}) were trained with different plans",
                remedy="Train the older ones again with --fresh, or choose folds of one plan with --folds.",
            )
        if len({c.config.clicks for c in checkpoints}) != 1:
            remedy = "Train all of them with the same --set clicks, or choose folds with --folds."
            raise InputError("some folds were trained with clicks and some without", remedy=remedy)
        self.clicks = checkpoints[0].config.clicks
        info = replace(info, lesion_filter=with_least(info.lesion_filter, min_lesion_probability))
        self.info, self.plan, self.first = info, checkpoints[0].plan, first
        self.folds = tuple(c.fold for c in checkpoints)
        self.step = step if step is not None else checkpoints[0].config.tile_step_size
        self.inference_budget = None if exhaustive else info.inference_budget
        dropped = all(c.config.channel_dropout for c in checkpoints) and (first is None or bool(first.optional))
        self.optional: tuple[str, ...] = info.channels[1:] if dropped else ()
        """Names of the channels that a scan may lack, as the folds were trained to do without."""
        self.backend, self.device = backend, _device_of(backend, device)
        dtype = reduced_precision(self.device) if precision == "auto" and backend == "torch" else None
        if self.device.type == "cuda" and (fault := cudnn_fault()):
            console.warn(f"{fault}.")
        self.ensemble = FoldEnsemble(
            networks=[self._network(c, dtype) for c in checkpoints],
            classes=count_outputs(info.labels),
            mirror_axes=checkpoints[0].config.mirrored(self.plan) if tta else (),
            device=self.device,
            dtype=dtype,
            names=[f"fold {c.fold} ({c.plan.planner}/{c.trainer})" for c in checkpoints],
            console=console,
            overlap=bool(self.plan.regions),
        )

    @classmethod
    def load(
        cls,
        model: str | Path,
        *,
        folds: Sequence[FoldName] | None = None,
        device: str = "auto",
        tta: bool = True,
        step: float | None = None,
        exhaustive: bool = False,
        precision: Precision = "auto",
        backend: Backend = "torch",
        min_lesion_probability: float | None = None,
        console: Console | None = None,
    ) -> Predictor:
        """Load a model folder (WORKSPACE/runs/PLANNER/TRAINER), or the zip of a single model.

        Args:
            folds: which finished folds to ensemble; all the numbered ones, or else `all`, unless given.
            device, tta, step, exhaustive, precision, backend, min_lesion_probability, console: as for the class.

        Raises:
            InputError: it is no model, a zip that is damaged or of several models, a fold asked
                for is not finished, or a file of it is a link leading elsewhere.
        """
        _device_of(backend, device)  # refused before the files, which are not at fault
        *before, (info, checkpoints) = read_stages(Path(model), folds)
        make = partial(
            cls,
            device=device,
            tta=tta,
            step=step,
            exhaustive=exhaustive,
            precision=precision,
            backend=backend,
            console=console,
        )
        first = None
        try:
            for about, ensemble in before:
                # As in training: masks of the plain threshold, without post-processing.
                plain = replace(about, postprocessing=None, threshold=PLAIN_THRESHOLD, lesion_filter=None)
                first = make(ensemble, plain, first=first)
            return make(checkpoints, info, min_lesion_probability=min_lesion_probability, first=first)
        except InputError as error:
            error.file = error.file or model
            raise

    def predict(
        self,
        image: NDArray[np.float32] | sitk.Image,
        geometry: Geometry | None = None,
        *,
        probabilities: bool = False,
        progress: OnProgress = None,
    ) -> Prediction:
        """Segment one scan: `preprocess`, `compute` and `restore`, of which only the second needs the device.

        Args:
            image: [C, Z, Y, X] or, with one channel, [Z, Y, X]; or a SimpleITK image of one channel.
            geometry: the array's grid; a SimpleITK image brings its own.
            probabilities: also give those of the mean logits: their softmax, of regions their sigmoid.
            progress: called with (windows done, windows in all).

        Raises:
            InputError: no array of numbers or SimpleITK image; wrong number of axes or channels, a
                shape that disagrees with the geometry, an impossible voxel size, NaN or infinite voxels.
            VmsegError: a fold's network gave NaN or infinite values; it is named.
        """
        if not isinstance(image, np.ndarray):
            from vmseg_auto.data.images.images import from_sitk  # who has an array needs no SimpleITK

            image, geometry = from_sitk(image)
        if not isinstance(geometry, Geometry):
            raise InputError("an array needs its geometry", remedy="Pass Geometry(shape, spacing_mm).")
        return self.restore(self.compute(self.preprocess(image, geometry), progress), image, probabilities)

    def preprocess(self, image: NDArray[np.float32], geometry: Geometry) -> PreprocessedScan:
        """Bring a scan [C, Z, Y, X] or [Z, Y, X] to the plan's grid; errors as of `predict`.

        Its windows get everything, unless cross-validation on such scans found less enough.
        """
        if image.ndim not in (3, 4) or image.dtype.kind not in "buif":
            raise InputError(
                f"the array has {image.ndim} axes and holds {image.dtype}",
                remedy="Pass numbers as [Z, Y, X], or [C, Z, Y, X] with a channel axis.",
            )
        array = np.asarray(image if image.ndim == 4 else image[None], dtype=np.float32)
        self._check(array, geometry)
        preprocessed, box = preprocess_image(array, geometry, self.plan)
        sparing = self.inference_budget is not None and not self.unlike(array, geometry)
        budget = self.inference_budget.budget if sparing and self.inference_budget else EXHAUSTIVE
        first = self.first.preprocess(array, geometry) if self.first else None
        return PreprocessedScan(preprocessed, geometry, box, budget, first)

    def compute(self, preprocessed: PreprocessedScan, progress: OnProgress = None) -> Computed:
        """Return what the networks say of a scan; arguments and errors as of `predict`."""
        image, geometry, box = preprocessed.image, preprocessed.geometry, preprocessed.crop_box
        if self.first and preprocessed.first:
            before = self.first.compute(preprocessed.first, progress)
            mask = self.first._mask(before.logits, before.geometry, before.crop_box)
            image = with_masks(image, mask, geometry, box, self.plan, len(self.info.labels))
        (logits,), confidence = self._logits(image, (preprocessed.budget,), progress)
        return Computed(logits, confidence, geometry, box)

    def restore(self, computed: Computed, image: NDArray[np.float32], probabilities: bool = False) -> Prediction:
        """Return the segmentation of the scan `image` on its own grid; `probabilities` as of `predict`."""
        geometry, judge = computed.geometry, self.info.lesion_filter
        mask = self._mask(computed.logits, geometry, computed.crop_box)
        needed = probabilities or bool(judge and judge.classifiers)
        soft = self.probabilities(computed) if needed else None
        scan = image if image.ndim == 4 else image[None]
        found = apply_lesion_filter(judge, mask, soft, scan, geometry, self.info.labels)
        asked = soft if probabilities else None
        return Prediction(found.mask, geometry, computed.confidence, asked, found.p_lesion, found.left_out)

    def probabilities(self, computed: Computed) -> NDArray[np.float32]:
        """Return the probabilities of the mean logits [K, Z, Y, X], background first, on the scan's own grid."""
        return _probabilities(computed.logits, computed.geometry, computed.crop_box, self.plan)

    def compare(
        self, preprocessed: NDArray[np.float32], geometry: Geometry, crop_box: Box, budgets: Sequence[InferenceBudget]
    ) -> tuple[Prediction, list[NDArray[np.uint8]]]:
        """Predict a preprocessed case by several budgets, for little more than the time of the greatest.

        Of a very large scan only some are computed side by side, so that memory stays bounded.

        Returns:
            The prediction by the first budget, with probabilities, and the masks by the others.
        """
        size = budgets_at_once(self.ensemble.classes, preprocessed.shape[1:])
        masks: list[NDArray[np.uint8]] = []
        for start in range(0, len(budgets), size):
            found, measured = self._logits(preprocessed, budgets[start : start + size])
            if not masks:
                confidence, soft = measured, _probabilities(found[0], geometry, crop_box, self.plan)
            masks += [self._mask(logits, geometry, crop_box) for logits in found]
            del found  # before the next ones are computed
        return Prediction(masks[0], geometry, confidence, soft), masks[1:]

    def unlike(self, image: NDArray[np.float32], geometry: Geometry) -> list[str]:
        """Describe what sets a scan [C, Z, Y, X] apart from those that the model was trained on and measured with;
        empty where nothing does. A scan that lacks a channel is apart: how good masks are is measured with all of them.

        Raises:
            InputError: the scan is empty.
        """
        box = nonzero_box(image)
        missing = [name for name, there in zip(self.info.channels, channels_there(image), strict=True) if not there]
        told = [f"the channel {name} is missing" for name in missing]
        if self.info.scans is None:
            return told
        return [*told, *self.info.scans.unlike(geometry, intensity_profiles(image[(slice(None), *box_slices(box))]))]

    def _logits(
        self, preprocessed: NDArray[np.float32], budgets: Sequence[InferenceBudget], progress: OnProgress = None
    ) -> tuple[list[NDArray[np.float32]], Confidence]:
        array = np.asarray(preprocessed)
        image = torch.tensor(with_clicks(array, (), self.plan.spacing_mm) if self.clicks else array)
        estimator = UncertaintyEstimator(
            len(self.ensemble.networks), bool(self.ensemble.mirror_axes), self.ensemble.overlap
        )
        found = predict_logits(
            self.ensemble,
            image,
            self.plan.patch,
            step=self.step,
            budgets=budgets,
            air_below=air_level(image[: len(self.info.channels)]),
            progress=progress,
            estimator=estimator,
        )
        return [logits.cpu().numpy() for logits in found], estimator.confidence()

    def _mask(self, logits: NDArray[np.float32], geometry: Geometry, crop_box: Box) -> NDArray[np.uint8]:
        favoured = favour_background(logits, self.info.threshold, self.ensemble.overlap)
        mask = restore_labels(favoured, geometry, crop_box, self.plan, written_values(self.info.labels))
        return apply_postprocessing(mask, self.info.postprocessing, self.info.labels)

    def digest(self) -> str:
        """Return a hash of all that decides a mask but the scan: weights, plan, labels, threshold, post-processing,
        lesion filter, options, and which scans are alike.
        """
        about = [
            self.plan.content_hash,
            self.info.labels,
            self.info.threshold,
            self.info.postprocessing,
            self.info.lesion_filter,
            [str(fold) for fold in self.folds],
            self.step,
            list(self.ensemble.mirror_axes),
            self.inference_budget,
            self.info.scans,
            str(self.ensemble.dtype),
            *([] if self.backend == "torch" else [self.backend]),
            [weights_hash(network.state_dict()) for network in self.ensemble.networks],
        ]
        return digest([*about, self.first.digest()] if self.first else about)

    def _network(self, checkpoint: Checkpoint, dtype: torch.dtype | None) -> torch.nn.Module:
        channels = checkpoint.config.input_channels(self.plan, len(self.info.channels), len(self.info.labels))
        network = build_network(self.plan.network, channels, count_outputs(self.info.labels))
        try:
            network.load_state_dict(checkpoint.weights)
        except RuntimeError as error:
            raise InputError(
                f"the weights of fold {checkpoint.fold} do not fit the plan", remedy="Train it again with --fresh."
            ) from error
        network = lay_out(round_convolutions(network, dtype).to(self.device), self.device).eval()
        if self.backend == "torch":
            return network
        from vmseg_auto.networks.openvino import OpenVinoNetwork

        return OpenVinoNetwork(network, channels, self.plan.patch)

    def _check(self, image: NDArray[np.float32], geometry: Geometry) -> None:
        channels = self.info.channels
        if image.shape[0] != len(channels):
            raise InputError(
                f"the scan has {image.shape[0]} channels, and the model wants {len(channels)}: {', '.join(channels)}",
                remedy="Give the channels that the model was trained on, in this order.",
            )
        if len(geometry.spacing_mm) != 3 or not all(0 < size < math.inf for size in geometry.spacing_mm):
            raise InputError(
                f"the voxels are {geometry.spacing_mm} mm large",
                remedy="Pass a Geometry with three sizes above 0 as spacing_mm, in the order Z, Y, X.",
            )
        if image.shape[1:] != geometry.shape:
            raise InputError(
                f"the array is {image.shape[1:]} voxels (Z, Y, X), its geometry {geometry.shape}",
                remedy="Pass the geometry of this very array, with its axes in the order Z, Y, X.",
            )
        if not np.isfinite(image).all():
            raise InputError("the scan holds NaN or infinite voxels", remedy="Export it again from the source.")


def _device_of(backend: Backend, name: str) -> torch.device:
    """Return the device asked for; OpenVINO's is the CPU.

    Raises:
        InputError: it is not there, or the backend does not compute on it.
    """
    if backend == "openvino" and name not in ("auto", "cpu"):
        raise InputError(
            f"OpenVINO computes on the CPU here, and not on {name}", remedy="Use --device cpu, or --backend torch."
        )
    return choose_device("cpu" if backend == "openvino" else name)


def _probabilities(logits: NDArray[np.float32], geometry: Geometry, crop_box: Box, plan: Plan) -> NDArray[np.float32]:
    """Return probabilities [K, Z, Y, X], background first, on the full grid; outside the crop that is certain."""
    restored = torch.from_numpy(restore_logits(logits, geometry, crop_box, plan))
    soft: Any = with_background(restored, bool(plan.regions)).numpy()
    full = np.zeros((len(soft), *geometry.shape), dtype=np.float32)
    full[0] = 1
    full[(slice(None), *(slice(a, b) for a, b in crop_box))] = soft
    return full

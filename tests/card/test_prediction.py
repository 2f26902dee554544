"""Prediction's CUDA branches: devices, types, operators, and the ways out where memory is short."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from absent_card import Watch, lacking_cuda, present
from consoles import Heard
from tiny import tiny_plan

from vmseg_auto.inference.ensemble import FoldEnsemble
from vmseg_auto.inference.predictor import Predictor
from vmseg_auto.inference.sliding_window import SUMMED_BYTES, budgets_at_once, predict_logits
from vmseg_auto.inference.uncertainty import UncertaintyEstimator
from vmseg_auto.models.checkpoints import Checkpoint
from vmseg_auto.models.model import ModelInfo
from vmseg_auto.networks.unet import build_network
from vmseg_auto.planning.inference_budget import EXHAUSTIVE, InferenceBudget
from vmseg_auto.planning.training_config import TrainingConfig
from vmseg_auto.utils.console import Silent
from vmseg_auto.utils.devices import reduced_precision, round_convolutions

CUDA = torch.device("cuda", 0)
PLAN = tiny_plan()
INFO = ModelInfo("default", "x", ("T2",), {"background": 0, "lesion": 1}, PLAN)
SHAPE = (12, 24, 24)
pytestmark = pytest.mark.usefixtures("one_thread")


def ensemble_of(count: int = 2, heard: Heard | None = None) -> FoldEnsemble:
    dtype = reduced_precision(CUDA)
    networks = [round_convolutions(build_network(PLAN.network, 1, 2), dtype).to(CUDA).eval() for _ in range(count)]
    return FoldEnsemble(networks, 2, (1,), CUDA, dtype, console=heard or Silent())


def predicted(
    ensemble: FoldEnsemble, shape: Sequence[int] = SHAPE, budgets: Sequence[InferenceBudget] = (EXHAUSTIVE,)
) -> list[torch.Tensor]:
    estimator = UncertaintyEstimator(len(ensemble.networks), mirrored=True)
    return predict_logits(ensemble, torch.zeros(1, *shape), PLAN.patch, budgets=budgets, estimator=estimator)


def places(ensemble: FoldEnsemble) -> set[str]:
    return {weight.device.type for network in ensemble.networks for weight in network.parameters()}


@pytest.mark.parametrize(("bf16", "dtype"), [(True, torch.bfloat16), (False, torch.float16)])
@pytest.mark.parametrize("budget", [EXHAUSTIVE, InferenceBudget(2, 0.5)])
def test_a_scan_is_predicted_on_the_card_in_its_precision(
    bf16: bool, dtype: torch.dtype, budget: InferenceBudget
) -> None:
    """The CPU waits for which windows are not air, for the gate, for the check of all logits, and for the classes."""
    with present(bf16=bf16) as card:
        (logits,) = predicted(ensemble_of(), budgets=[budget])
        assert (logits.device, logits.dtype) == (CUDA, torch.float32)
    assert card.convolved == {(dtype, dtype)}
    assert set(card.waits) <= {
        "maxima",
        "_SlidingWindow._refuse_what_is_not_finite",
        "UncertaintyEstimator.finalize",
    }
    assert len(card.waits) == (4 if budget.gate else 3), "however many windows there are"
    assert lacking_cuda(frozenset(card.operators)) == []


def test_a_predictor_warns_of_a_torch_that_spoils_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = Checkpoint(
        1, build_network(PLAN.network, 1, 2).state_dict(), (), plan=PLAN, config=TrainingConfig(), labels=INFO.labels,
        channels=INFO.channels, trainer="default", fold=0,
    )  # fmt: skip
    for version, count in ((91501, 0), (91002, 1)):
        monkeypatch.setattr(torch.backends.cudnn, "version", lambda version=version: version)
        heard = Heard()
        with present():
            assert Predictor([checkpoint], INFO, device="cuda", console=heard).device == CUDA
        assert sum("which refuses or spoils 3-D convolutions in 16 bits" in text for text in heard.warned) == count


def whole_peak() -> tuple[int, int]:
    """Bytes of the networks, and at most, where there is room for everything."""
    with present() as card:
        ensemble = ensemble_of()
        networks = card.held
        predicted(ensemble)
        return networks, card.peak


def test_where_the_sums_do_not_fit_the_networks_stay_and_the_next_scan_is_tried_again() -> None:
    _, peak = whole_peak()
    heard = Heard()
    with present(limit=0.8 * peak) as card:
        ensemble = ensemble_of(heard=heard)
        for number in (1, 2):
            (logits,) = predicted(ensemble)
            assert logits.device.type == "cpu"
            assert (places(ensemble), ensemble.device) == ({"cuda"}, CUDA)
            assert sum("summed up in main memory" in text for text in heard.warned) == number
        card.limit = 2 * peak
        (logits,) = predicted(ensemble)
        assert logits.device == CUDA
    assert not any("the CPU predicts" in text for text in heard.warned)


def test_where_no_window_fits_the_cpu_predicts_and_the_networks_come_back() -> None:
    networks, _ = whole_peak()
    heard = Heard()
    with present(limit=1.05 * networks) as card:
        ensemble = ensemble_of(heard=heard)
        (logits,) = predicted(ensemble)
        assert logits.device.type == "cpu"
        assert (places(ensemble), ensemble.device, ensemble.dtype) == ({"cuda"}, CUDA, torch.bfloat16)
        assert "the CPU predicts this scan" in heard.warned[-1]
        card.limit = float("inf")
        assert predicted(ensemble)[0].device == CUDA


def test_networks_that_find_no_room_afterwards_come_back_for_a_later_scan() -> None:
    """Another program has taken their place meanwhile, and ends."""
    networks, _ = whole_peak()
    with present(limit=1.05 * networks) as card:
        ensemble = ensemble_of()

        def taken(done: int, whole: int) -> None:
            if ensemble.device.type == "cpu":
                card.limit = 0.5 * networks

        predict_logits(ensemble, torch.zeros(1, *SHAPE), PLAN.patch, progress=taken)
        assert (places(ensemble), ensemble.device.type) == ({"cpu"}, "cpu")
        assert predicted(ensemble)[0].device.type == "cpu"
        card.limit = float("inf")
        assert predicted(ensemble)[0].device == CUDA
        assert (places(ensemble), ensemble.device, ensemble.dtype) == ({"cuda"}, CUDA, torch.bfloat16)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
def test_memory_may_run_out_at_any_moment(share: float) -> None:
    """As another program on the card may take it: once, in the middle of a scan."""
    with present() as card:
        predicted(ensemble_of(1))
        operators = card.operators.total()
    heard = Heard()
    with present() as card:
        ensemble = ensemble_of(1, heard)
        card.fails = {max(card.operators.total() + 1, round(share * operators))}
        (logits,) = predicted(ensemble)
        assert logits.shape == (2, *SHAPE)
        assert places(ensemble) == {"cuda"}
    assert heard.warned, "it is told"


def test_validation_s_many_budgets_stay_within_their_bound() -> None:
    """Nine side by side would take 7 GB for a scan of 256 x 512 x 512."""
    shape, budgets = (256, 512, 512), budgets_at_once(2, (256, 512, 512))

    def peak(card: Watch) -> int:
        ensemble = FoldEnsemble([torch.nn.Conv3d(1, 2, 1).to(CUDA)], 2, (), CUDA)
        several = [EXHAUSTIVE] * (budgets - 1) + [InferenceBudget(2, 0.5)]  # the gate looks at the whole scan once
        estimator = UncertaintyEstimator(1, mirrored=False)
        image = torch.zeros(1, *shape)
        predict_logits(ensemble, image, (64, 256, 256), step=1.0, budgets=several, estimator=estimator)
        return card.peak

    with present() as card:
        assert peak(card) < SUMMED_BYTES + 1.5 * 2**30
    assert 1 < budgets < 9

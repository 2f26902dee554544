"""A training is compiled where that can be, says so where it can't, and comes to the same either way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import PLAN, tiny_plan
from training import CPU, make_parts

from vmseg_auto.planning.plan import Plan
from vmseg_auto.planning.training_config import TrainingConfig
from vmseg_auto.training.compiled import Mode, compile_mode, in_words, why_not_compiled
from vmseg_auto.training.step import Learner
from vmseg_auto.utils.errors import InputError

CUDA = torch.device("cuda", 0)
LARGE, SMALL = tiny_plan(patch=(64, 128, 128)), PLAN
AUTO, ON, OFF = (TrainingConfig(compile=choice) for choice in ("auto", "on", "off"))


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Sets what is there for the compiler: all of it, but for what is said."""

    def there(
        triton: bool = True, capability: tuple[int, int] = (9, 0), compiler: bool = True, headers: bool = True
    ) -> None:
        module = "vmseg_auto.training.compiled"
        monkeypatch.setattr(f"{module}.find_spec", lambda name: name if triton else None)
        monkeypatch.setattr(f"{module}.shutil.which", lambda name: name if compiler else None)
        monkeypatch.setattr(f"{module}.sysconfig.get_path", lambda name, scheme: str(tmp_path / name / str(headers)))
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)

    written = tmp_path / "include" / "True" / "Python.h"
    written.parent.mkdir(parents=True)
    written.touch()
    there()
    return there


@pytest.mark.parametrize(
    ("config", "plan", "device", "mode"),
    [
        (AUTO, LARGE, CUDA, "default"),
        (AUTO, SMALL, CUDA, "reduce-overhead"),
        (AUTO, SMALL, CPU, None),
        (AUTO, LARGE, torch.device("mps"), None),
        (ON, SMALL, CPU, "default"),
        (OFF, LARGE, CUDA, None),
    ],
)
def test_cuda_compiles_by_itself_and_small_batches_become_a_graph(
    tools: object, config: TrainingConfig, plan: Plan, device: torch.device, mode: Mode | None
) -> None:
    assert compile_mode(config, plan, device) == mode


@pytest.mark.parametrize(
    ("lacking", "words"),
    [
        ({"triton": False}, "the package triton is not installed"),
        ({"capability": (6, 1)}, "the card is older than triton can compile for"),
        ({"compiler": False}, r"there is no C compiler \(gcc\)"),
        ({"headers": False}, r"Python's headers are not installed \(the system's package python3-dev\)"),
    ],
)
def test_what_is_lacking_is_said_and_refused_where_it_is_asked_for(
    tools: Callable[..., None], lacking: dict[str, Any], words: str
) -> None:
    assert in_words(AUTO, LARGE, CUDA).startswith("Network and loss are compiled first")
    tools(**lacking)
    assert compile_mode(AUTO, LARGE, CUDA) is None
    with pytest.raises(InputError, match=words):
        compile_mode(ON, LARGE, CUDA)
    assert words.replace("\\", "") in in_words(AUTO, LARGE, CUDA)


def test_the_same_bits_in_every_run_and_a_compiler_exclude_each_other(tools: object) -> None:
    same = TrainingConfig(deterministic=True)
    assert compile_mode(same, LARGE, CUDA) is None
    assert "deterministic=true is set" in in_words(same, LARGE, CUDA)
    assert "compile=off is set" in in_words(OFF, LARGE, CUDA)
    with pytest.raises(InputError, match="deterministic=true is set"):
        compile_mode(TrainingConfig(deterministic=True, compile="on"), LARGE, CUDA)


def test_a_cpu_needs_a_compiler_for_cpp(tools: Callable[..., None]) -> None:
    tools(triton=False, capability=(0, 0), headers=False)
    assert why_not_compiled(ON, CPU) is None
    tools(compiler=False)
    assert why_not_compiled(ON, CPU) == "there is no C++ compiler (g++)"


def learner(
    compiled: Mode | None = None, notify: Callable[[str], None] = lambda text: None, plan: Plan = PLAN
) -> Learner:
    parts = make_parts(TrainingConfig(amp=False), plan)
    options: dict[str, Any] = {"amp": False, "gradient_clip": 12.0, "compiled": compiled, "notify": notify}
    return Learner(parts.network, parts.loss, parts.optimizer, CPU, **options)


def batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(2, 1, *PLAN.patch, generator=generator)
    return image, (image[:, 0] > 1).long()


class Fails:
    """What torch.compile gives where its compiler fails, from the call of this number on."""

    def __init__(self, module: torch.nn.Module, error: Exception, call: int = 1) -> None:
        self.module, self.error, self.calls, self.call = module, error, 0, call

    def __call__(self, *given: Any) -> Any:
        self.calls += 1
        if self.calls >= self.call:
            raise self.error
        return self.module(*given)


def fail(monkeypatch: pytest.MonkeyPatch, error: Exception, call: int = 1) -> None:
    monkeypatch.setattr(torch, "compile", lambda module, mode=None, dynamic=None: Fails(module, error, call))


def test_where_the_compiler_fails_the_training_goes_on_without_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[str] = []
    fail(monkeypatch, ValueError("no such target\nmore"))
    one, plain = learner("default", said.append), learner()
    for seed in range(2):
        assert torch.equal(one.step(*batch(seed)).loss, plain.step(*batch(seed)).loss)
    (text,) = said
    assert "can't be compiled here (ValueError: no such target); the training goes on without" in text
    for a, b in zip(one.network.parameters(), plain.network.parameters(), strict=True):
        assert torch.equal(a, b)


def test_too_little_memory_is_no_failure_of_the_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    fail(monkeypatch, torch.OutOfMemoryError("CUDA out of memory"))
    with pytest.raises(torch.OutOfMemoryError):
        learner("default").step(*batch())


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # torch's own, where it loads CUDA graphs
@pytest.mark.parametrize(("mode", "proved"), [("default", 1), ("reduce-overhead", 3)])
def test_an_error_after_the_first_steps_is_the_training_s_own(
    mode: Mode, proved: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A CUDA graph is recorded in the second step and replayed in the third: each may fail in its own way."""
    said: list[str] = []
    fail(monkeypatch, ValueError("later"), call=proved)
    one = learner(mode, said.append)
    for seed in range(proved):
        one.step(*batch(seed))
    assert len(said) == 1
    fail(monkeypatch, ValueError("later"), call=proved + 1)
    one = learner(mode)
    for seed in range(proved):
        one.step(*batch(seed))
    with pytest.raises(ValueError, match="later"):
        one.step(*batch())


@pytest.mark.slow
def test_each_plan_is_compiled_for_its_own_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch would let the second patch of a process be of any size, in slower code; folds of one plan share theirs."""
    whole, of_any_size = torch.compile, list[bool]()

    def noted(graph: torch.fx.GraphModule, inputs: list[Any]) -> Any:
        of_any_size.append(any(isinstance(one, torch.SymInt) for one in inputs))
        return graph

    def compiled(module: torch.nn.Module, mode: str | None = None, dynamic: bool | None = None) -> Any:
        return whole(module, backend=noted, dynamic=dynamic)

    monkeypatch.setattr(torch, "compile", compiled)
    for plan in (PLAN, PLAN, tiny_plan(patch=(8, 32, 32))):
        image = torch.randn(2, 1, *plan.patch)
        learner("default", plan=plan).step(image, (image[:, 0] > 1).long())
    assert of_any_size == [False] * 4


@pytest.mark.slow
@pytest.mark.parametrize("builder", ["plain_unet", "residual_unet"])
def test_network_and_loss_are_one_graph_each_and_learn_the_same(builder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What torch.compile can't take whole it would run piece by piece. The graphs are run as they are."""
    whole, said = torch.compile, list[str]()
    compiled: list[Any] = []

    def as_one_graph(module: torch.nn.Module, mode: str | None = None, dynamic: bool | None = None) -> Any:
        compiled.append(whole(module, backend="eager", fullgraph=True, dynamic=dynamic))
        return compiled[-1]

    monkeypatch.setattr(torch, "compile", as_one_graph)
    plan = tiny_plan(builder=builder)
    one, plain = learner("default", said.append, plan), learner(plan=plan)
    for seed in range(2):
        assert torch.allclose(one.step(*batch(seed)).loss, plain.step(*batch(seed)).loss, atol=1e-6)
    assert (len(compiled), said) == (2, [])
    for name, weight in one.state().weights.items():
        assert torch.allclose(weight, plain.state().weights[name], atol=1e-6), name


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # torch's own, where it loads its compiler
def test_no_norm_of_torch_s_own_is_left_where_a_network_is_compiled() -> None:
    """Neither its own kernel, which is slow in bfloat16, nor cuDNN's: means, and what is done with each value."""
    from functorch.compile import make_boxed_func
    from torch._dynamo.backends.common import aot_autograd
    from torch._inductor.decomposition import select_decomp_table

    operators: set[str] = set()

    def noted(graph: torch.fx.GraphModule, inputs: list[Any]) -> Any:
        operators.update(str(node.target) for node in graph.graph.nodes if node.op == "call_function")
        return make_boxed_func(graph.forward)

    known = select_decomp_table()
    backend = aot_autograd(fw_compiler=noted, bw_compiler=noted, decompositions=known)
    network = make_parts(TrainingConfig()).network
    compiled = torch.compile(network, backend=backend, dynamic=False)
    with torch.autocast("cpu", torch.bfloat16):
        levels = compiled(torch.randn(2, 1, *PLAN.patch))
    sum(level.sum() for level in levels).backward()
    assert "aten.convolution_backward.default" in operators, "forward and backward"
    assert not [name for name in operators if "norm" in name]
    assert torch.ops.aten.cudnn_batch_norm.default in known, "what a card has in its place"
    assert torch.ops.aten.cudnn_batch_norm_backward.default in known

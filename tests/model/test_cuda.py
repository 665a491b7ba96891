"""The model on a CUDA device: the same answers as on the CPU, within half precision, and it trains and generates."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lpm.data.batch import Batch
from lpm.data.source import Source
from lpm.model.attention import attend, plan
from lpm.model.model import Model
from lpm.model.sample import SampleConfig, generate
from lpm.recipes import jets
from lpm.recipes.apply import predict
from lpm.recipes.execute import execute
from lpm.train.config import TrainConfig
from lpm.train.loop import fit
from lpm.train.parallel import World
from tests.model.test_model import CONFIG, build
from tests.model.test_sample import decided

pytestmark = pytest.mark.gpu
PLAIN = replace(CONFIG, pairs=None)


@pytest.fixture(autouse=True)
def _device() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")


@pytest.mark.parametrize("causal", [False, True])
def test_packed_kernel_equals_length_groups(causal: bool) -> None:
    g = torch.Generator().manual_seed(0)
    offsets = torch.tensor([0, 1, 20, 85, 213])
    x = torch.randn(213, 3, 4, 32, generator=g)
    dy = torch.randn(213, 4, 32, generator=g)
    a = x.clone().requires_grad_()
    torch.autograd.backward(attend(a, plan(offsets, grouped=True), causal), dy)
    b = x.cuda().bfloat16().requires_grad_()
    y = attend(b, plan(offsets, grouped=False).to(b.device), causal)
    torch.autograd.backward(y, dy.cuda().bfloat16())
    assert a.grad is not None
    assert b.grad is not None
    wanted = attend(x, plan(offsets, grouped=True), causal)
    torch.testing.assert_close(y.float().cpu(), wanted, atol=2e-2, rtol=2e-2)
    torch.testing.assert_close(b.grad.float().cpu(), a.grad, atol=4e-2, rtol=4e-2)


@pytest.mark.parametrize("pairs", [False, True])
def test_losses_agree_with_those_of_the_cpu(pairs: bool, toy_jets: Callable[..., Batch]) -> None:
    batch = toy_jets(32)
    model = build(CONFIG if pairs else PLAIN, batch).eval()
    torch.manual_seed(1)
    wanted = model(batch)
    torch.manual_seed(1)
    with torch.autocast("cuda", torch.bfloat16):
        found = model.cuda()(batch.to("cuda"))
    for name in ("next", "label", "pt"):  # hidden rows are drawn by the device's own generator
        torch.testing.assert_close(found[name].float().cpu(), wanted[name], atol=5e-2, rtol=5e-2)


@pytest.mark.parametrize("compiled", [False, True])
def test_it_trains(compiled: bool, toy_jets: Callable[..., Batch]) -> None:
    batch = toy_jets(64)
    model = build(PLAIN, batch)
    lines: list[dict[str, float]] = []

    def record(event: str, **content: dict[str, float]) -> None:
        lines.append(content["loss"])

    config = TrainConfig(steps=40, lr=1e-2, warmup=4, optimiser="muon", compile=compiled, log_every=1)
    items = Source.from_batch(batch, budget=2_000, seed=0)
    fit(model, items, config, record=record, place=World(0, 1, torch.device("cuda")))
    assert sum(lines[-1].values()) < sum(lines[0].values())


def test_a_captured_step_gives_the_events_of_steps_one_by_one(toy_jets: Callable[..., Batch]) -> None:
    model, classes, made = decided(toy_jets).cuda(), torch.arange(40) * 7 % 16, []
    for slots in (True, False):
        config = SampleConfig(top_k=1, longest=20, batch=12, slots=slots)
        made.append(Batch.cat(list(generate(model, 40, classes=classes, config=config))).collections["particle"])
    assert made[0].lengths.tolist() == made[1].lengths.tolist()
    torch.testing.assert_close(made[0].values, made[1].values, atol=1e-3, rtol=1e-3)


def test_it_generates_and_the_cpu_reads_it(toy_jets: Callable[..., Batch]) -> None:
    batch = toy_jets(64)
    model = build(PLAIN, batch).cuda().eval()
    made = Batch.cat(list(generate(model, 20, seed=0)))
    assert len(made) == 20
    assert not made.field("particle.pt").values.is_cuda


def test_a_run_on_the_device_answers_as_on_the_cpu(tmp_path: Path) -> None:
    run = jets.tiny(jets.top(pairs=False))
    model = execute(run, tmp_path / "run", device="cuda")
    batch = next(iter(Source("sample:jets", budget=4_000, seed=0, epochs=1)))
    found = next(iter(predict(model, [batch], "sample"))).field("jet.score").values
    alone = Model(model.config, model.schema)
    alone.load_state_dict({n: t.cpu() for n, t in model.state_dict().items()})
    wanted = next(iter(predict(alone.eval(), [batch], "sample"))).field("jet.score").values
    torch.testing.assert_close(found, wanted, atol=1e-3, rtol=1e-3)

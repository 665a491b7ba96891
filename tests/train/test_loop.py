"""The loop: it learns, resumes bit for bit, stops early, averages, and refuses nonsense."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lpm.train.loop import TrainConfig, fit
from lpm.train.optim import Average, learning_rate, parameter_groups
from tests.train.toy import Counted, Line, held

CONFIG = TrainConfig(steps=40, warmup=4, ema=0.9, save_every=7, log_every=5, valid_every=10, patience=50, lr=1e-2)
ROOT = Path(__file__).parents[2]


class Notes:
    """A record that remembers."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, event: str, **content: Any) -> None:
        self.events.append((event, content))

    def of(self, event: str) -> list[dict[str, Any]]:
        return [c for e, c in self.events if e == event]


def train(folder: Path | None = None, config: TrainConfig = CONFIG, resume: bool = False) -> tuple[Line, Notes]:
    torch.manual_seed(0)
    model, notes = Line(), Notes()
    fit(model, Counted(), config, record=notes, valid=held, folder=folder, resume=resume)
    return model, notes


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_it_learns_and_tells() -> None:
    _, notes = train(config=replace(CONFIG, steps=300, patience=0))
    steps, valid = notes.of("step"), notes.of("valid")
    assert valid[-1]["loss"]["line"] < 0.2 * valid[0]["loss"]["line"]
    assert [s["step"] for s in steps] == list(range(5, 301, 5))
    assert {"loss", "lr", "eta_s", "events_per_s", "tokens_per_s"} <= set(steps[0])


def test_same_seed_same_weights() -> None:
    assert same(train()[0], train()[0])


@pytest.mark.parametrize("step", [9, 25])
def test_killed_and_resumed_gives_the_same_bits(step: int, tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.train.killed", str(tmp_path), str(step)]
    died = subprocess.run(command, cwd=ROOT, env=environment, check=False)
    assert died.returncode == -signal.SIGKILL
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        resumed, _ = train(tmp_path, resume=True)
        whole, _ = train()
    finally:
        torch.set_num_threads(threads)
    assert same(resumed, whole)


def test_nothing_to_resume_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no training state"):
        train(tmp_path, resume=True)


def test_state_of_another_model_is_refused(tmp_path: Path) -> None:
    train(tmp_path)
    other = Line()
    other.blocks = nn.ModuleList([nn.Linear(3, 5), nn.Linear(5, 5), nn.Linear(5, 1)])
    with pytest.raises(ValueError, match="another model"):
        fit(other, Counted(), CONFIG, record=Notes(), folder=tmp_path, resume=True)


def test_early_stopping_keeps_the_best() -> None:
    """A rate so large that things get worse: the weights of the best validation come back."""
    torch.manual_seed(0)
    model, notes = Line(), Notes()
    config = replace(CONFIG, steps=400, lr=3.0, clip=0.0, ema=0.0, valid_every=2, patience=3)
    result = fit(model, Counted(), config, record=notes, valid=held)
    assert result.stopped
    assert result.step < 400
    losses = [v["total"] for v in notes.of("valid")]
    reached = float(model(held()[0])["line"].mean().detach())
    assert reached == pytest.approx(min(losses), rel=1e-5)


def test_accumulation_equals_a_larger_batch() -> None:
    """Two half batches make the gradient of one whole one."""

    class Halves(Counted):
        def __iter__(self) -> Any:
            for whole in super().__iter__():
                yield from whole.split(8)

    plain = replace(CONFIG, ema=0.0, valid_every=0, patience=0, steps=10)
    models = []
    for items, accumulate in ((Counted(), 1), (Halves(), 2)):
        torch.manual_seed(0)
        model = Line()
        model.drop.p = 0.0
        fit(model, items, replace(plain, accumulate=accumulate), record=Notes())
        models.append(model)
    for x, y in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(x, y, atol=1e-5, rtol=1e-4)


def test_a_loss_that_is_not_finite_stops_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    class Poisoned(Counted):
        def __iter__(self) -> Any:
            for batch in super().__iter__():
                yield batch * float("nan") if self.place > 12 else batch

    with pytest.raises(ValueError, match=r"not finite at step 15.*lpm inspect"):
        fit(Line(), Poisoned(), CONFIG, record=Notes(), folder=tmp_path)
    assert (tmp_path / "training" / "state.json").is_file()


def test_average_follows_and_swaps() -> None:
    p = torch.nn.Parameter(torch.zeros(3))
    average = Average([p], decay=0.5)
    for _ in range(50):
        p.data += 1
        average.update()
    assert bool((average.mean[0] < p).all())
    before: Tensor = average.mean[0].clone()
    average.swap()
    assert torch.equal(p.data, before)
    average.swap()
    assert torch.equal(p.data, torch.full((3,), 50.0))


def test_rates_rise_and_fall() -> None:
    rates = [learning_rate(s, peak=2.0, steps=100, warmup=10, floor=0.1) for s in range(101)]
    assert rates[:10] == sorted(rates[:10])
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert max(rates) == 2.0
    assert rates[-1] == pytest.approx(0.2)


def test_lower_blocks_learn_slower_and_vectors_do_not_decay() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.body, self.heads = nn.Linear(2, 2), nn.Module(), nn.ModuleDict({"a": nn.Linear(2, 1)})
            self.body.blocks = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])

    net = Net()
    groups = parameter_groups(net, lr=1.0, weight_decay=0.1, layer_decay=0.5)
    rate = {id(p): (g["lr"], g["weight_decay"]) for g in groups for p in g["params"]}
    assert rate[id(net.heads["a"].weight)] == (1.0, 0.1)
    assert rate[id(net.heads["a"].bias)] == (1.0, 0.0)
    assert rate[id(net.body.blocks[1].weight)] == (0.5, 0.1)
    assert rate[id(net.body.blocks[0].weight)] == (0.25, 0.1)
    assert rate[id(net.first.weight)] == (0.125, 0.1)

"""The loop: it learns, resumes bit for bit, stops early, averages, and refuses nonsense."""

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lpm.records.weights import load_tensors
from lpm.train.config import TrainConfig
from lpm.train.interrupt import interruptible
from lpm.train.loop import fit
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


@pytest.mark.parametrize(("step", "optimiser"), [(9, "adamw"), (25, "adamw"), (25, "muon")])
def test_killed_and_resumed_gives_the_same_bits(step: int, optimiser: Any, tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.train.killed", str(tmp_path), str(step), optimiser]
    config = replace(CONFIG, optimiser=optimiser)
    died = subprocess.run(command, cwd=ROOT, env=environment, check=False)
    assert died.returncode == -signal.SIGKILL
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        resumed, _ = train(tmp_path, config, resume=True)
        whole, _ = train(config=config)
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
    reached = float(model(torch.cat(held()))["line"].mean().detach())
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


class Poisoned(Counted):
    """Two events that are not numbers in the batch of step 13."""

    def __iter__(self) -> Any:
        for batch in super().__iter__():
            if self.place == 13:
                batch[[2, 11]] = math.nan
            yield batch


@pytest.mark.parametrize("save_every", [0, 7])
def test_a_loss_that_is_not_finite_stops_names_its_events_and_keeps_the_checkpoint(
    save_every: int, tmp_path: Path
) -> None:
    """Saved every 7 steps, looked at every 5: what went wrong at step 13 must not be saved at step 14."""
    said = r"^at step 13 the loss is not finite: line of 2 of 16 events \(batch 12, event 2, batch 12, event 11\); .*"
    said += "the last checkpoint is kept$" if save_every else "nothing had been saved yet$"
    with pytest.raises(ValueError, match=said):
        fit(Line(), Poisoned(), replace(CONFIG, save_every=save_every), record=Notes(), folder=tmp_path)
    if save_every:
        assert json.loads((tmp_path / "training" / "state.json").read_text())["step"] == 7
        weights = load_tensors(tmp_path / "training" / "weights.safetensors")
        assert all(bool(w.isfinite().all()) for w in weights.values())


def test_a_loss_that_is_not_finite_is_told_even_if_its_events_cannot_be() -> None:
    class Nameless(Poisoned):
        def names(self, state: dict[str, Any], rows: list[int]) -> list[str]:
            raise OSError("file is gone")

    with pytest.raises(ValueError, match=r"line of 2 of 16 events \(which ones cannot be told: file is gone\)"):
        fit(Line(), Nameless(), CONFIG, record=Notes())


def test_heads_that_fail_for_the_same_events_are_named_together() -> None:
    class Three(Line):
        def forward(self, batch: Tensor) -> dict[str, Tensor]:
            line = super().forward(batch)["line"]
            other = line.clone()
            other[0] = math.nan if line.isnan().any() else 0.0
            return {"line": line, "slope": line + 1, "other": other}

    same = r"line, slope of 2 of 16 events \(batch 12, event 2, batch 12, event 11\)"
    with pytest.raises(ValueError, match=rf"at step 13 .*: {same}; other of 3 of 16 events \(batch 12, event 0, "):
        fit(Three(), Poisoned(), CONFIG, record=Notes())


def test_weights_that_are_not_finite_are_never_saved(tmp_path: Path) -> None:
    """The loss of a step may be finite and its gradient not."""

    class Steep(Line):
        def forward(self, batch: Tensor) -> dict[str, Tensor]:
            losses = super().forward(batch)
            if self.training:
                losses["line"].register_hook(lambda g: g * math.nan)
            return losses

    with pytest.raises(ValueError, match=r"weights are not finite after step 1;.*lpm inspect"):
        fit(Steep(), Counted(), replace(CONFIG, save_every=1), record=Notes(), folder=tmp_path)
    assert not (tmp_path / "training").exists()


def test_a_validation_that_is_not_finite_is_never_the_best() -> None:
    calls: list[int] = []

    def sometimes() -> list[Tensor]:
        calls.append(1)
        return [x * float("nan") if len(calls) == 1 else x for x in held()]

    torch.manual_seed(0)
    result = fit(Line(), Counted(), replace(CONFIG, valid_every=10), record=Notes(), valid=sometimes)
    assert math.isfinite(result.best)


def test_patience_without_a_validation_keeps_the_last_weights(tmp_path: Path) -> None:
    """Saving before the first validation must not turn the weights of that moment into the best ones."""
    short = replace(CONFIG, valid_every=0, save_every=3, ema=0.0)
    patient, _ = train(tmp_path, replace(short, patience=5))
    plain, _ = train(config=replace(short, patience=0))
    assert same(patient, plain)


def test_a_run_that_was_stopped_early_stays_stopped(tmp_path: Path) -> None:
    config = replace(CONFIG, steps=400, lr=3.0, clip=0.0, ema=0.0, valid_every=2, patience=3)
    torch.manual_seed(0)
    first = fit(Line(), Counted(), config, record=Notes(), valid=held, folder=tmp_path)
    again = fit(Line(), Counted(), config, record=Notes(), valid=held, folder=tmp_path, resume=True)
    assert first.stopped
    assert again == first


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_is_saved_and_resumes_to_the_same_bits(number: signal.Signals, tmp_path: Path) -> None:
    def stop(event: str, **content: Any) -> None:
        if event == "step" and content["step"] == 10:
            signal.raise_signal(number)

    before = signal.getsignal(number)
    torch.manual_seed(0)
    with pytest.raises(KeyboardInterrupt):
        fit(Line(), Counted(), CONFIG, record=stop, valid=held, folder=tmp_path)
    assert signal.getsignal(number) == before
    assert json.loads((tmp_path / "training" / "state.json").read_text())["step"] == 10
    resumed, _ = train(tmp_path, resume=True)
    assert same(resumed, train()[0])


def test_a_second_ctrl_c_acts_at_once() -> None:
    with interruptible() as asked:
        signal.raise_signal(signal.SIGINT)
        assert asked()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_batch_system_may_repeat_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """It kills in the end anyway; and of several processes each hears of one Ctrl-C twice."""
    with interruptible() as asked:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert asked()
    monkeypatch.setenv("WORLD_SIZE", "2")
    with interruptible() as asked:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        assert asked()


def test_a_kill_between_taking_the_old_state_away_and_putting_the_new_one_in(tmp_path: Path) -> None:
    train(tmp_path)
    (tmp_path / "training").rename(tmp_path / ".training.old")
    (tmp_path / ".training.tmp").mkdir()
    resumed, _ = train(tmp_path, resume=True)
    assert same(resumed, train()[0])
    train(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["training"]


def test_a_full_disk_ends_in_one_line_and_keeps_the_last_state(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    train(tmp_path, replace(CONFIG, steps=7))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limits[1]))
    try:
        with pytest.raises(ValueError, match=r"cannot write the training state.*the last one is kept"):
            train(tmp_path, resume=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert json.loads((tmp_path / "training" / "state.json").read_text())["step"] == 7


def test_validation_leaves_the_accelerators_random_stream_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    seeded: list[int] = []
    torch.manual_seed(0)
    model = Line()
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    fit(model, Counted(), CONFIG, record=Notes(), valid=held)
    assert not seeded


def test_settings_that_make_no_sense_are_refused() -> None:
    for change in ({"log_every": 0}, {"save_every": -1}, {"steps": 0}, {"lr": math.nan}):
        with pytest.raises(ValueError, match="expected"):
            replace(CONFIG, **change)


@pytest.mark.parametrize("damage", [lambda text: text[:20], lambda text: "[]", lambda text: "{}"])
def test_a_damaged_state_is_named(damage: Callable[[str], str], tmp_path: Path) -> None:
    train(tmp_path)
    path = tmp_path / "training" / "state.json"
    path.write_text(damage(path.read_text()))
    with pytest.raises(ValueError, match=r"state\.json: cannot read the training state"):
        train(tmp_path, resume=True)


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

"""What changes beside weights: running means go with the best weights, stand still if frozen, and resume exactly."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lpm.train.config import TrainConfig
from lpm.train.loop import fit
from tests.train.toy import Counted, Line, held

CONFIG = TrainConfig(steps=12, warmup=2, save_every=3, log_every=5, lr=1e-2)


class Normed(Line):
    """Standardises its inputs by running means first."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3, momentum=0.5)

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        return super().forward(self.norm(batch))


class Drifting(Counted):
    """Events that move away from those of the validation."""

    def __iter__(self) -> Iterator[Tensor]:
        for batch in super().__iter__():
            yield batch + 0.1 * self.place


@pytest.mark.parametrize("resumed", [False, True])
def test_the_best_weights_come_back_with_their_running_means(resumed: bool, tmp_path: Path) -> None:
    config = replace(CONFIG, steps=100, lr=1.0, valid_every=1, patience=4)
    torch.manual_seed(0)
    model = Normed()
    result = fit(model, Drifting(), config, record=lambda *a, **k: None, valid=held, folder=tmp_path)
    if resumed:
        model = Normed()
        result = fit(model, Drifting(), config, record=lambda *a, **k: None, valid=held, folder=tmp_path, resume=True)
    assert result.stopped
    assert float(model(torch.cat(held()))["line"].mean().detach()) == pytest.approx(result.best, rel=1e-5)


def test_what_is_frozen_stays_as_it_is() -> None:
    torch.manual_seed(0)
    model = Normed()
    model.norm.requires_grad_(False)
    before = {n: t.clone() for n, t in model.norm.state_dict().items()}
    config = replace(CONFIG, valid_every=5)
    fit(model, Drifting(), config, record=lambda *a, **k: None, valid=held)
    assert all(torch.equal(t, before[n]) for n, t in model.norm.state_dict().items())


class Late(Line):
    """A part of its weights takes part from one step on."""

    def __init__(self, stream: Counted) -> None:
        super().__init__()
        self.drop.p = 0.0
        self.stream, self.late = stream, nn.Linear(3, 1)

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        losses = super().forward(batch)
        return {"line": losses["line"] + self.late(batch)[:, 0] ** 2} if self.stream.place > 6 else losses


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_a_weight_that_first_takes_part_after_a_state_was_saved(optimiser: str, tmp_path: Path) -> None:
    def run(steps: int, resume: bool = False) -> Late:
        torch.manual_seed(0)
        stream = Counted()
        model = Late(stream)
        # At one rate throughout, so that a shorter training is the beginning of a longer one.
        config = replace(CONFIG, steps=steps, floor=1.0, optimiser=optimiser)  # type: ignore[arg-type]
        fit(model, stream, config, record=lambda *a, **k: None, folder=tmp_path / str(resume), resume=resume)
        return model

    run(3)
    (tmp_path / "False").rename(tmp_path / "True")
    resumed, whole = run(12, resume=True), run(12)
    assert all(torch.equal(a, b) for a, b in zip(resumed.parameters(), whole.parameters(), strict=True))


def test_no_event_to_validate_on_is_no_perfect_loss() -> None:
    with pytest.raises(ValueError, match="no event to validate on"):
        fit(Line(), Counted(), replace(CONFIG, valid_every=2), record=lambda *a, **k: None, valid=lambda: [])

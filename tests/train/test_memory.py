"""Out of memory: the step is done again in portions, with the same gradient; what fits is remembered."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lpm.train.loop import fit
from lpm.train.memory import Portions, TooLargeError, ran_out
from lpm.train.parallel import World
from tests.train.test_loop import CONFIG, Notes
from tests.train.toy import Counted, Greedy, Line, held

PLAIN = replace(CONFIG, steps=12, ema=0.0, patience=0)


def train(fits: int, backward: bool = False, folder: Path | None = None, **change: Any) -> tuple[Greedy, Notes]:
    torch.manual_seed(0)
    model, notes = Greedy(fits, backward), Notes()
    fit(model, Counted(), replace(PLAIN, **change), record=notes, valid=held, folder=folder)
    return model, notes


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("accumulate", [1, 3])
def test_portions_give_the_gradient_of_the_whole_batch(backward: bool, accumulate: int) -> None:
    whole, _ = train(16, accumulate=accumulate)
    parts, notes = train(5, backward, accumulate=accumulate)
    for x, y in zip(whole.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(x, y, atol=1e-6, rtol=1e-5)
    said = [{"step": 1, "tokens": 16, "largest": 8}, {"step": 1, "tokens": 8, "largest": 4}]
    assert notes.of("out_of_memory") == said
    assert parts.seen[:3] == [16, 8, 4]
    assert set(parts.seen[3:]) == {4}
    assert len(parts.seen[2:]) == 12 * accumulate * 4  # no step is lost, none done twice
    assert [s["step"] for s in notes.of("step")] == [5, 10, 12]


def test_an_event_that_does_not_fit_alone_ends_in_one_line() -> None:
    with pytest.raises(ValueError, match=r"out of memory at step 1: one event of 1 tokens.*nothing had been saved yet"):
        train(0)


def test_a_validation_that_does_not_fit_is_done_again_in_portions() -> None:
    whole, heard = train(99)
    torch.manual_seed(0)
    model, notes = Greedy(99, judged=7), Notes()
    fit(model, Counted(), PLAIN, record=notes, valid=held)
    assert [x["largest"] for x in notes.of("out_of_memory")] == [15, 7]
    for a, b in zip(heard.of("valid"), notes.of("valid"), strict=True):
        assert a["total"] == pytest.approx(b["total"], rel=1e-5)
    for x, y in zip(whole.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(x, y, atol=1e-6, rtol=1e-5)


def test_moments_that_do_not_fit_end_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def step(*_: Any) -> None:
        torch.empty(2**50)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    with pytest.raises(ValueError, match=r"out of memory at step 1 in the optimiser.*nothing had been saved yet$"):
        train(99)


def test_what_fits_is_remembered(tmp_path: Path) -> None:
    train(5, folder=tmp_path)
    assert json.loads((tmp_path / "memory.json").read_text()) == {"largest": 4}
    model, notes = Greedy(5), Notes()
    fit(model, Counted(), replace(PLAIN, steps=14), record=notes, folder=tmp_path, resume=True)
    assert not notes.of("out_of_memory")
    assert set(model.seen) == {4}


def test_other_errors_are_not_taken_for_it() -> None:
    assert not ran_out(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="shapes"):
        fit(Line(), Wide(), PLAIN, record=Notes())


class Wide(Counted):
    """Batches with a column too many."""

    def __iter__(self) -> Any:
        return (torch.cat([x, x[:, :1]], 1) for x in super().__iter__())


def test_the_limit_only_falls() -> None:
    """A portion of large events that fails must not raise a limit that lay below it."""
    portions = Portions(None, World(0, 1, torch.device("cpu")))
    portions.shrink(TooLargeError(8, 80))
    portions.shrink(TooLargeError(4, 70))
    assert portions.largest == 20
    assert [len(x) for x in portions.of(torch.zeros(3, 2), 100)] == [1, 1, 1]


def test_a_damaged_note_is_named(tmp_path: Path) -> None:
    (tmp_path / "memory.json").write_text("{")
    with pytest.raises(ValueError, match=r"memory\.json: not readable"):
        Portions(tmp_path, World(0, 1, torch.device("cpu")))

"""The task of fine-grained taggers: what its numbers are for taggers whose quality is known, and its page."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lpm.data.batch import Batch
from lpm.data.fields import JET, JETCLASS, jets_schema
from lpm.data.fine import FINE, MASS
from lpm.tasks import TASKS
from lpm.tasks.fine import members, pictures


def scored(n: int = 4000, labels: tuple[str, ...] = FINE.leaves, *, sharp: float = 3.0, tilt: float = 0.0) -> Batch:
    """Jets whose scores know their class as well as `sharp` says, and prefer heavy jets for H as `tilt` says."""
    rng = np.random.default_rng(0)
    kind = rng.choice(len(FINE.leaves), n, p=_shares())
    quarks = np.char.startswith(np.array(FINE.leaves)[kind], "QCD")
    mass = np.where(quarks, 20 + rng.exponential(50, n), 30 + 200 * rng.random(n))
    logits = rng.normal(size=(n, len(FINE.leaves)))
    logits[np.arange(n), kind] += sharp
    logits[:, [FINE.leaves.index(x) for x in FINE.below("H")]] += tilt * (mass / 100)[:, None]
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    columns = {"jet.sdmass": mass, "jet.mass": mass + 5, "jet.label": kind, "particle.pt": np.ones(n)}
    tensors = {k: torch.from_numpy(v) for k, v in columns.items()}
    schema = jets_schema(["pt"], ["sdmass", "mass"], FINE.leaves)
    batch = Batch.build(schema, tensors, {"particle": torch.ones(n).long()})
    for i, name in enumerate(FINE.leaves):
        batch = batch.with_field("jet", replace(JET["score"], name=f"score_{name}"), torch.from_numpy(p[:, i]))
    return batch


def _shares() -> np.ndarray:
    p = np.array([8.0 if n.startswith("QCD") else 1.0 for n in FINE.leaves])
    return p / p.sum()


def evaluate(batch: Batch) -> dict[str, float]:
    return {k: e.value for k, e in TASKS["jets.fine"].evaluate(batch, None, 0).items()}


def test_a_perfect_tagger_and_one_that_guesses() -> None:
    perfect, guess = evaluate(scored(sharp=60.0)), evaluate(scored(sharp=0.0))
    for name in ("HbbvsQCD", "HccvsQCD", "THVV", "WvsQCD", "TvsQCD"):
        assert perfect[f"auc[{name}]"] > 0.999
        assert guess[f"auc[{name}]"] == pytest.approx(0.5, abs=0.08)
    assert perfect["accuracy"] > 0.999
    assert guess["accuracy"] == pytest.approx(1 / len(FINE.leaves), abs=0.01)


def test_a_tagger_that_looks_at_the_mass_is_found_out() -> None:
    fair, tilted = evaluate(scored(8000)), evaluate(scored(8000, tilt=4.0))
    name = "sculpting[THVV]@0.1"
    assert fair[name] > 0.5 * fair["ceiling[THVV]@0.1"]
    assert tilted[name] < 0.2 * fair[name]


def test_members_are_those_whose_label_is_sure() -> None:
    batch = Batch.build(
        jets_schema(["pt"], ["pt"], JETCLASS),
        {"particle.pt": torch.ones(10), "jet.pt": torch.ones(10), "jet.label": torch.arange(10)},
        {"particle": torch.ones(10).long()},
    )
    found = {n: [JETCLASS[i] for i in np.flatnonzero(members(batch, [n]))] for n in ("H", "top", "QCD", "Z", "Z_bb")}
    assert found["H"] == ["Hbb", "Hcc", "Hgg", "H4q", "Hqql"]
    assert found["top"] == ["Tbqq", "Tbl"]
    assert found["QCD"] == ["QCD"]
    assert found["Z"] == ["Zqq"]
    assert found["Z_bb"] == [], "a Z boson may be another one"


def test_the_mass_is_judged_against_the_resonance() -> None:
    batch = scored(3000)
    true = batch.field("jet.mass").values * 1.2
    batch = batch.with_field("jet", MASS["target_mass"], true)
    field = replace(MASS["mass_factor"], name="mass_factor_pred", truth=False)
    exact = batch.with_field("jet", field, torch.full((3000,), 1.2))
    found = evaluate(exact)
    assert found["mass_bias[H].regressed"] == pytest.approx(0, abs=1e-5)
    assert found["mass_width[H].regressed"] == pytest.approx(0, abs=1e-5)
    assert found["mass_bias[H].sdmass"] < -0.15


def test_pictures_show_what_was_measured() -> None:
    (kind, curve), (other, spectra) = pictures(scored(8000, tilt=4.0))
    assert (kind, other) == ("curve", "histogram")
    assert list(spectra["series"]) == ["all QCD jets", *curve["series"]]
    heavy = {n: sum(s[5:]) / sum(s) for n, s in spectra["series"].items()}
    assert heavy["THVV"] > 3 * heavy["all QCD jets"]
    whole = {n: sum(s) + spectra["outside"][n] for n, s in spectra["series"].items()}
    assert whole["THVV"] == pytest.approx(0.1 * whole["all QCD jets"], abs=2)
    with pytest.raises(ValueError, match="no QCD jet to draw"):
        pictures(scored()[:0])


def test_examples_of_the_page_run(capsys: pytest.CaptureFixture[str]) -> None:
    page = Path(__file__).parents[2] / "docs/tasks/fine-taggers.md"
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.S)
    assert len(blocks) == 2
    for block in blocks:
        exec(compile(block, page.name, "exec"), {"__name__": "example"})
    shown = capsys.readouterr().out
    assert "HvsQCD = P(H) / (P(H) + P(QCD))" in shown
    assert r"\mathrm{HvsQCD} = \frac{" in shown

"""Questions asked of jets: what they are compared in, and errors that say what to do."""

from collections.abc import Callable

import pytest
import torch

from lpm.data.batch import Batch
from lpm.data.fields import JET
from lpm.data.schema import Field
from lpm.tasks import TASKS
from lpm.tasks.jets import SUBSTRUCTURE, describe, observe, quark_labels, top_labels


@pytest.fixture
def scored(toy_jets: Callable[..., Batch]) -> Batch:
    batch = toy_jets(40)
    label = batch.field("jet.label").values
    for i, name in enumerate(("QCD", "top")):
        made = Field(name=f"score_{name}", low=0.0, high=1.0)
        batch = batch.with_field("jet", made, torch.where(label == i, 0.8, 0.2))
    return batch.with_field("jet", JET["score"], label)


@pytest.mark.parametrize("task", ["jets.top", "jets.classes"])
def test_truth_may_lie_beside_or_in_another_file(task: str, scored: Batch) -> None:
    inside = TASKS[task].evaluate(scored, None, 0)
    assert inside == TASKS[task].evaluate(scored, scored, 0)
    assert inside["accuracy"].value == 1
    with pytest.raises(ValueError, match="one for each: got 10 for 40; name the file that lpm predict read"):
        TASKS[task].evaluate(scored, scored[:10], 0)


@pytest.mark.parametrize("task", ["jets.top", "jets.classes"])
def test_jets_of_unknown_class_are_left_out(task: str, scored: Batch) -> None:
    label = scored.field("jet.label").values.clone()
    label[3] = torch.nan
    some = scored.with_field("jet", scored.schema.field("jet.label"), label)
    rest = torch.arange(40) != 3
    assert TASKS[task].evaluate(some, None, 0) == TASKS[task].evaluate(scored[rest], None, 0)


@pytest.mark.parametrize("task", ["jets.top", "jets.quark_gluon", "jets.classes"])
def test_events_without_labels_or_scores(task: str, scored: Batch) -> None:
    bare = scored.select(["particle", "jet.pt", "jet.score", "jet.score_QCD", "jet.score_top"])
    with pytest.raises(ValueError, match=r"the events have no jet\.label to compare with"):
        TASKS[task].evaluate(bare, None, 0)
    if task == "jets.top":
        with pytest.raises(ValueError, match=r"no jet\.score to judge; add it with lpm predict"):
            TASKS[task].evaluate(scored.select(["particle", "jet.label"]), None, 0)


def test_quarks_and_gluons_are_known_by_parton(scored: Batch) -> None:
    labels = JET["parton"].labels
    parton = torch.tensor([float(i % len(labels)) for i in range(40)])
    parton[0] = torch.nan
    found = quark_labels(scored.with_field("jet", JET["parton"], parton))
    wanted = [-1 if i == 0 else {"g": 0, "d": 1, "u": 1, "s": 1}.get(labels[i % len(labels)], -1) for i in range(40)]
    assert found.tolist() == wanted
    assert top_labels(scored).tolist() == scored.field("jet.label").values.tolist()
    with pytest.raises(ValueError, match=r"jet\.label: expected gluon and quark jets, its classes are QCD, top"):
        quark_labels(scored)


def test_observables_that_are_there_already_are_kept(scored: Batch) -> None:
    described = describe(scored)
    assert set(SUBSTRUCTURE) < set(described.schema["jet"].names)
    some = observe(scored.with_field("jet", JET["mass"], torch.full((40,), 7.0)), ("tau1",))
    assert some.field("jet.mass").values.unique().tolist() == [7.0]
    torch.testing.assert_close(some.field("jet.tau1").values, described.field("jet.tau1").values)


@pytest.mark.parametrize("task", ["jets.top", "jets.classes"])
def test_events_count_by_their_weights(task: str, scored: Batch) -> None:
    """An event of weight 2 is one that is there twice."""
    wrong = torch.arange(40) == 3
    label = torch.where(wrong, 1 - scored.field("jet.label").values, scored.field("jet.label").values)
    scored = scored.with_field("jet", scored.schema.field("jet.label"), label)
    weighted = scored.with_field("jet", JET["weight"], torch.where(wrong, 5.0, 1.0))
    assert TASKS[task].evaluate(scored, None, 0)["accuracy"].value == pytest.approx(39 / 40)
    assert TASKS[task].evaluate(weighted, None, 0)["accuracy"].value == pytest.approx(39 / 44)


@pytest.mark.parametrize("task", ["jets.top", "jets.classes"])
def test_a_class_without_an_event_is_named(task: str, scored: Batch) -> None:
    tops = scored[scored.field("jet.label").values == 1]
    with pytest.raises(ValueError, match="no event of class QCD: every class needs at least one"):
        TASKS[task].evaluate(tops, None, 0)

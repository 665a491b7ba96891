"""The table of generated against true events, and the shapes that plots are made of."""

import json

import numpy as np
import pytest
import torch

from lpm.data.batch import Batch
from lpm.data.fields import jets_schema
from lpm.metrics import shapes
from lpm.metrics.generation import METRICS, compare, features, flatten, standard_observables


def jets(n, seed, shift=0.0):
    """n toy jets of 3 to 9 particles."""
    rng = torch.Generator().manual_seed(seed)
    lengths = torch.randint(3, 10, (n,), generator=rng)
    rows = int(lengths.sum())
    columns = {
        "particle.pt": torch.rand(rows, generator=rng) * 50 + 1,
        "particle.deta": torch.randn(rows, generator=rng) * 0.2,
        "particle.dphi": torch.randn(rows, generator=rng) * 0.2,
        "particle.charge": torch.randint(-1, 2, (rows,), generator=rng),
        "particle.type": torch.randint(0, 5, (rows,), generator=rng),
        "jet.pt": torch.rand(n, generator=rng) * 500 + 500,
        "jet.mass": torch.randn(n, generator=rng) * 20 + 100 + shift,
        "jet.score": torch.rand(n, generator=rng),
        "jet.label": torch.randint(0, 2, (n,), generator=rng),
    }
    schema = jets_schema(["pt", "deta", "dphi", "charge", "type"], ["pt", "mass", "score"], ["QCD", "top"])
    return Batch.build(schema, columns, {"particle": lengths})


def test_standard_observables_leave_out_truth_scores_and_categories():
    assert standard_observables(jets(5, 0), jets(5, 1)) == [
        "particle", "particle.pt", "particle.deta", "particle.dphi", "particle.charge", "jet.pt", "jet.mass",
    ]  # fmt: skip


def test_features_are_those_with_one_number_an_event_and_no_nan():
    b = jets(6, 0)
    b.collections["jet"].values[2, 1] = float("nan")
    table = features(b, ["particle", "particle.pt", "jet.mass"])
    assert table.shape == (5, 2)
    np.testing.assert_array_equal(table[:2, 0], b.collections["particle"].lengths[:2].numpy())


@pytest.mark.parametrize("metric", list(METRICS))
def test_every_metric_is_zero_within_errors_on_equal_truth_and_sees_a_shift(metric):
    truth = jets(1200, 0)
    same, shifted = (compare(jets(600, 1, s), truth, ["particle", "jet.mass"], metrics=[metric]) for s in (0.0, 60.0))
    for row, columns in same.items():
        error = np.hypot(columns["generated"].error, columns["floor"].error)
        assert abs(columns["generated"].value - columns["floor"].value) < 4 * error + 1e-4, row
    moved = [r for r in shifted if r != "w1[particle]"]
    assert moved
    for row in moved:
        generated, floor = shifted[row]["generated"], shifted[row]["floor"]
        assert abs(generated.value - floor.value) > 5 * np.hypot(generated.error, floor.error), row


def test_wasserstein_row_is_in_the_unit_of_the_field():
    table = compare(jets(600, 1, 60.0), jets(1200, 0), ["jet.mass"], metrics=["w1"])
    assert table["w1[jet.mass]"]["generated"].value == pytest.approx(60, abs=4)


def test_same_seed_same_table():
    tables = [compare(jets(100, 1), jets(220, 0), ["jet.mass"], metrics=["w1", "c2st"], seed=3) for _ in range(2)]
    assert tables[0] == tables[1]


@pytest.mark.parametrize("path", ["jet.mass", "particle.pt"])
def test_what_a_generator_does_not_make_is_told(path):
    """Distances are of what is there; were that all, a generator without numbers would look perfect."""
    collection = path.partition(".")[0]

    def holes(batch, share):
        values = batch.field(path).values.clone()
        values[: round(share * len(values))] = torch.nan
        return batch.with_field(collection, batch.schema.field(path), values)

    arguments = {"observables": ["particle", path], "metrics": ["w1"]}
    made, truth = jets(600, 1), jets(1200, 0)
    assert list(compare(made, truth, **arguments)) == ["w1[particle]", f"w1[{path}]"]
    row = compare(holes(made, 0.4), truth, **arguments)[f"missing[{path}]"]
    assert row["generated"].value == pytest.approx(0.4, abs=1e-3)
    rows = len(made.field(path).values)
    assert row["generated"].error == pytest.approx(np.sqrt(0.4 * 0.6 / rows), rel=0.1)
    assert row["floor"].value == row["floor"].low == 0 < row["floor"].high
    other = compare(made, holes(truth, 0.1), **arguments)[f"missing[{path}]"]
    assert (other["generated"].value, other["floor"].value) == (0, pytest.approx(0.1, abs=1e-3))


def test_flatten_names_the_floor():
    table = compare(jets(100, 1), jets(220, 0), ["jet.mass"], metrics=["w1", "prdc"])
    assert list(flatten(table))[:2] == ["w1[jet.mass]", "w1[jet.mass].floor"]
    assert len(flatten(table)) == 2 * len(table) == 10


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"metrics": ["magic"]}, "unknown metric magic"),
        ({"observables": ["jet.tau9"]}, r"no field jet\.tau9"),
        ({"observables": ["particle.pt"], "metrics": ["fpd"]}, "one number an event"),
    ],
)
def test_wrong_wishes_are_named(arguments, match):
    with pytest.raises(ValueError, match=match):
        compare(jets(100, 1), jets(200, 0), **arguments)


def test_too_few_events_are_named():
    with pytest.raises(ValueError, match="twice 50"):
        compare(jets(100, 1), jets(60, 0))


def test_histogram_counts_everything_once_and_is_json():
    batches = {"truth": jets(300, 0), "generated": jets(200, 1)}
    for path in ("jet.mass", "particle.pt", "particle"):
        h = json.loads(json.dumps(shapes.histogram(batches, path, bins=20)))
        for name, b in batches.items():
            rows = 1 if path in ("jet.mass", "particle") else int(b.collections["particle"].lengths.sum()) / len(b)
            assert sum(h["series"][name]) + h["outside"][name] == pytest.approx(len(b) * rows)
        assert len(h["edges"]) == len(h["series"]["truth"]) + 1


def test_multiplicities_stand_in_the_middle_of_their_bins():
    h = shapes.histogram({"truth": jets(300, 0)}, "particle")
    assert (np.array(h["edges"]) % 1 == 0.5).all()
    assert h["outside"]["truth"] == 0


def test_roc_points_follow_the_curve():
    x = np.linspace(0, 1, 2001)
    e = shapes.roc({"flat": (np.concatenate([x, x]), np.repeat([0, 1], 2001))})
    np.testing.assert_allclose(e["series"]["flat"], e["x"], atol=2e-3)


def test_image_holds_all_momentum_inside_its_frame():
    b = jets(50, 0)
    e = shapes.image({"truth": b}, half_width=5.0, cells=10)
    assert np.sum(e["series"]["truth"]) * 50 == pytest.approx(float(b.field("particle.pt").values.sum()), rel=1e-3)
    right = b.field("particle.deta").values > 0
    total = float(b.field("particle.pt").values[right].sum())
    assert np.sum(np.array(e["series"]["truth"])[:, 5:]) * 50 == pytest.approx(total, rel=1e-3)


def test_jets_for_display_are_whole_and_json():
    b = jets(30, 0)
    e = json.loads(json.dumps(shapes.jets({"truth": b}, count=4), allow_nan=False))
    assert len(e["series"]["truth"]) == 4
    for jet in e["series"]["truth"]:
        assert {len(v) for v in jet["particles"].values()} == {len(jet["particles"]["pt"])}
        assert jet["label"] in ("QCD", "top")
        assert jet["particles"]["type"][0] in ("charged_hadron", "neutral_hadron", "photon", "electron", "muon")


def test_histogram_shows_the_tails_of_all_series_but_not_of_a_bad_one():
    truth, moved, wild = jets(400, 0), jets(400, 1, 60.0), jets(400, 2, 1e5)
    assert shapes.histogram({"truth": truth, "moved": moved}, "jet.mass")["outside"]["moved"] <= 2
    edges = shapes.histogram({"truth": truth, "wild": wild}, "jet.mass")["edges"]
    assert edges[-1] < 300


def test_residual_histogram_counts_every_row():
    truth = jets(100, 0)
    wide = truth.with_field("particle", truth.schema.field("particle.pt"), truth.field("particle.pt").values * 1.1)
    e = json.loads(json.dumps(shapes.residual({"wide": wide}, truth, "particle.pt", relative=True, bins=10)))
    assert sum(e["series"]["wide"]) + e["outside"]["wide"] == int(truth.collections["particle"].lengths.sum())
    assert e["edges"][0] < 0.1 < e["edges"][-1]
    assert e["unit"] == "1"

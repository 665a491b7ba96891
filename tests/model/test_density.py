"""A density of rows: normalised, drawn as it says, blind to what it answers; the same outside of the packed world."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lpm.data.batch import Batch, Ragged
from lpm.data.flash import TRACKS
from lpm.data.schema import Collection, Field, Schema
from lpm.model.backbone import BackboneConfig
from lpm.model.conditional import fill
from lpm.model.drawn import Drawn
from lpm.model.heads import ClassifyConfig, Density, DensityConfig
from lpm.model.model import Model, ModelConfig
from lpm.model.packing import Hidden, Layout
from lpm.recipes.flash import tracks
from lpm.recipes.reconstruct import apply
from lpm.tokens import ContinuousConfig, Tokens, Transform

HALF = ContinuousConfig(collection="track", fields=(Transform(field="dx"), Transform(field="dy")))


def toy(n: int, seed: int = 0) -> Batch:
    """Particles and tracks of random numbers, one track for two of three particles."""
    g = torch.Generator().manual_seed(seed)
    values = {}
    found = torch.arange(n) % 3 > 0
    for c in TRACKS.collections:
        rows = n if c.single else int(found.sum())
        for f in c.fields:
            x = torch.rand(rows, generator=g) * 0.8 + 0.1
            values[f"{c.name}.{f.name}"] = (x * f.size).floor() if f.labels else x
    return Batch.build(TRACKS, values, {"track": found.long()})


def model(hidden: int = 8, seed: int = 0) -> Model:
    torch.manual_seed(seed)
    run = tracks()
    heads = {
        "outcome": run.model.heads["outcome"],
        "track": DensityConfig(of="track", given=("particle",), hidden=hidden),
    }
    made = Model(
        replace(run.model, backbone=BackboneConfig(width=16, depth=1, heads=1, registers=0), heads=heads), TRACKS
    )
    for name in made.tokenizers:
        made.tokenizer(name).fit([toy(300)])
    for p in made.parameters():
        p.data += 0.1 * torch.randn_like(p)
    return made.eval()


def alone(rows: int) -> tuple[Density, Hidden]:
    """A head of two fields with weights at random, and states that are all the same."""
    torch.manual_seed(3)
    head = DensityConfig(of="track", given=("particle",), hidden=8, bins=6).build(4, {"track": HALF.build()})
    for p in head.parameters():
        p.data = 0.3 * torch.randn_like(p)
    at = torch.arange(rows)
    return head.eval(), Hidden(torch.ones(rows, 4), Layout(torch.arange(rows + 1), at[:, None], {}, {}), gathered=True)


def test_a_density_is_normalised() -> None:
    grid = torch.linspace(-14, 14, 400)
    x, y = torch.meshgrid(grid, grid, indexing="ij")
    head, hidden = alone(x.numel())
    tokens = Tokens(torch.arange(x.numel() + 1), features=torch.stack([x.flatten(), y.flatten()], 1))
    with torch.no_grad():
        whole = head.logarithm(hidden.pooled, tokens).exp().sum() * (grid[1] - grid[0]) ** 2
    assert abs(float(whole) - 1) < 0.02


def test_rows_are_drawn_from_it() -> None:
    head, hidden = alone(20_000)
    tokens = Tokens(torch.arange(20_001), features=torch.zeros(20_000, 2))
    y = head.draw(hidden, tokens, torch.Generator().manual_seed(0))
    with torch.no_grad():
        log = head.logarithm(hidden.pooled, Tokens(tokens.offsets, features=y))
    # The mean of −log p over draws is the entropy; the same from the density on a grid.
    grid = torch.linspace(-14, 14, 500)
    a, b = torch.meshgrid(grid, grid, indexing="ij")
    other, many = alone(a.numel())
    with torch.no_grad():
        p = other.logarithm(
            many.pooled, Tokens(torch.arange(a.numel() + 1), features=torch.stack([a.flatten(), b.flatten()], 1))
        )
    area = float((grid[1] - grid[0]) ** 2)
    entropy = -float((p.exp() * p).sum()) * area
    assert float(-log.mean()) == pytest.approx(entropy, abs=0.05)


def test_rows_of_rows_are_drawn_from_their_states() -> None:
    """Rows that belong to rows: the state of the particle decides, not that of its event."""
    one = Collection(name="particle", fields=(Field(name="p"),))
    of = Collection(name="track", fields=(Field(name="particle", kind="count"), Field(name="dx"), Field(name="dy")))
    schema = Schema(name="toy", collections=(one, of))
    p = torch.randn(60, 1, generator=torch.Generator().manual_seed(0))
    particles, at = Ragged.from_lengths(p, torch.tensor([2, 3] * 12)), torch.tensor([1.0, 2.0, 0.0] * 12)
    event = torch.arange(24).repeat_interleave(torch.tensor([1, 2] * 12))
    mine = p[particles.offsets[:-1][event] + at.long()]
    rows = torch.cat([at[:, None], mine, -mine], 1)
    batch = Batch(schema, {"particle": particles, "track": Ragged.from_lengths(rows, torch.tensor([1, 2] * 12))})
    seen = ContinuousConfig(collection="particle", fields=(Transform(field="p"),))
    head = DensityConfig(of="track", given=("particle",), row="track.particle", hidden=8, jitter=0.0)
    torch.manual_seed(1)
    made = Model(
        ModelConfig(backbone=BackboneConfig(width=16, depth=1, heads=1, registers=0),
                    tokenizers={"particle": seen, "track": HALF}, heads={"track": head}), schema
    )  # fmt: skip
    for name in made.tokenizers:
        made.tokenizer(name).fit([batch])
    optimiser = torch.optim.AdamW(made.parameters(), 1e-2)
    for _ in range(150):
        made(batch)["track"].mean().backward()
        optimiser.step()
        optimiser.zero_grad()
    empty = rows.clone()
    empty[:, 1:] = torch.nan
    shell = Batch(schema, {"particle": particles, "track": batch.collections["track"].with_values(empty)})
    drawn = fill(made.eval(), shell, "track", generator=torch.Generator().manual_seed(1)).collections["track"].values
    assert torch.equal(drawn[:, 0], at)
    assert float((drawn[:, 1:] - rows[:, 1:]).abs().mean()) < 0.3 * float(rows[:, 1:].abs().mean())


def test_numbers_that_are_stored_in_steps_are_drawn_as_often() -> None:
    """Two of three are nothing, the others 1 or 2 steps; a density that knows of the step finds them again."""
    g = torch.Generator().manual_seed(0)
    schema = Schema(
        name="toy",
        collections=(
            Collection(name="particle", fields=(Field(name="p"),)),
            Collection(name="track", fields=(Field(name="iso"),)),
        ),
    )
    n, step = 3000, 0.5
    count = torch.multinomial(torch.tensor([4.0, 1.0, 1.0]), n, replacement=True, generator=g)
    batch = Batch(
        schema,
        {"particle": Ragged.single(torch.ones(n, 1)), "track": Ragged.single(step * count[:, None].float())},
    )
    seen, made_of = (ContinuousConfig(collection=c, fields=(Transform(field=f),)) for c, f in
                     (("particle", "p"), ("track", "iso")))  # fmt: skip
    head = DensityConfig(of="track", given=("particle",), hidden=16, steps={"iso": step})
    torch.manual_seed(1)
    made = Model(
        ModelConfig(backbone=BackboneConfig(width=16, depth=1, heads=1, registers=0),
                    tokenizers={"particle": seen, "track": made_of}, heads={"track": head}), schema
    )  # fmt: skip
    for name in made.tokenizers:
        made.tokenizer(name).fit([batch])
    optimiser = torch.optim.AdamW(made.parameters(), 1e-2)
    for _ in range(200):
        made(batch)["track"].mean().backward()
        optimiser.step()
        optimiser.zero_grad()
    shell = Batch(schema, {**batch.collections, "track": Ragged.single(torch.full((n, 1), torch.nan))})
    drawn = fill(made.eval(), shell, "track", generator=g).collections["track"].values[:, 0]
    found = (drawn / step).round().long().clamp(0, 2).bincount(minlength=3) / n
    torch.testing.assert_close(found, count.bincount(minlength=3) / n, atol=0.03, rtol=0)
    with pytest.raises(ValueError, match="steps above 0"):
        replace(head, steps={"iso": 0.0})


def test_losses_are_of_events_and_everything_learns() -> None:
    made, batch = model(), toy(60)
    made.train()
    losses = made(batch)
    assert losses["track"].shape == (60,)
    assert bool((losses["track"][batch.collections["track"].lengths == 0] == 0).all())
    sum(x.mean() for x in losses.values()).backward()
    unused = {n for n, p in made.named_parameters() if p.grad is None or not bool(p.grad.abs().sum() > 0)}
    # Of the collection that is only made, nothing is seen; ranks are for hidden rows.
    assert all(n.startswith("embeds.track") or n.endswith("rank.weight") for n in unused), unused


def test_nothing_is_seen_of_what_is_made() -> None:
    made, batch = model(), toy(40)
    empty = {**batch.collections, "track": batch.collections["track"].with_values(
        torch.full_like(batch.collections["track"].values, torch.nan))}  # fmt: skip
    one, two = (fill(made, b, "track", generator=torch.Generator().manual_seed(1)) for b in
                (batch, Batch(TRACKS, empty)))  # fmt: skip
    assert torch.equal(one.collections["track"].values, two.collections["track"].values)
    hidden = made.hidden(batch, {"particle": made.tokenizer("particle").encode(batch)}, made.head("track").view)
    with pytest.raises(ValueError, match="answers no question"):
        made.head("track").predict(hidden, {})


def test_what_leaves_is_what_stays() -> None:
    """The padded form gives, for equal random numbers, what the packed one does."""
    made, batch = model(), toy(50)
    (whole,) = apply(made, [batch], seed=4)
    graph = Drawn(made)
    g = torch.Generator().manual_seed(4)
    uniform = torch.rand(50, 1, generator=g)[:, 0]
    found = whole.collections["track"].lengths > 0
    normal = torch.zeros(50, len(graph.outputs))
    normal[found] = torch.randn(int(found.sum()), len(graph.outputs), generator=g)
    given = torch.stack([batch.field(f"particle.{n}").values for n in graph.inputs], 1)
    with torch.no_grad():
        chosen, values = graph(given, uniform, normal)
    assert torch.equal(chosen.float(), whole.field("particle.outcome").values)
    column = graph.outputs.index("dtx")
    torch.testing.assert_close(values[found, column], whole.field("track.dtx").values, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_it_leaves_as_one_file(tmp_path) -> None:
    pytest.importorskip("onnx", reason="needs the onnx extra")
    pytest.importorskip("onnxscript", reason="needs the onnx extra")
    runtime = pytest.importorskip("onnxruntime", reason="needs the onnx extra")
    from lpm.model import checkpoint
    from lpm.model.export import export

    made = model()
    checkpoint.save(made, tmp_path / "run", "# a flash simulation\n")
    told = export(tmp_path / "run", tmp_path / "flash.onnx")
    assert "dtx" in told["outputs"]
    g, graph = torch.Generator().manual_seed(0), Drawn(made)
    given = torch.rand(9, len(graph.inputs), generator=g) * 0.8 + 0.1
    given[:, graph.inputs.index("species")] = torch.arange(9) % 5
    inputs = given, torch.rand(9, generator=g), torch.randn(9, len(graph.outputs), generator=g)
    with torch.no_grad():
        chosen, values = graph(*inputs)
    session = runtime.InferenceSession(tmp_path / "flash.onnx", providers=["CPUExecutionProvider"])
    names = ("given", "uniform", "normal")
    found = session.run(None, {n: x.numpy() for n, x in zip(names, inputs, strict=True)})
    np.testing.assert_array_equal(found[0], chosen.numpy())
    np.testing.assert_allclose(found[1], values.numpy(), rtol=1e-3, atol=1e-4)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="expected other collections as given"):
        DensityConfig(of="track", given=())
    with pytest.raises(ValueError, match="expected other collections as given"):
        DensityConfig(of="track", given=("track",))
    with pytest.raises(ValueError, match=r"expected the row of a track, got cluster\.photon"):
        DensityConfig(of="track", given=("particle",), row="cluster.photon")
    category = ContinuousConfig(collection="track", fields=(Transform(field="light", form="category"),), classes=(2,))
    with pytest.raises(ValueError, match="without categories"):
        DensityConfig(of="track", given=("particle",)).build(4, {"track": category.build()})
    heads = {"outcome": ClassifyConfig(target="particle.outcome", classes=("outside", "found"), given=("particle",))}
    particle = tracks().model.tokenizers["particle"]
    plain = ModelConfig(
        backbone=BackboneConfig(width=16, depth=1, heads=1), tokenizers={"particle": particle}, heads=heads
    )
    with pytest.raises(ValueError, match="only one classifier and one density leave as one file"):
        Drawn(Model(plain, TRACKS))

"""Generators of all voxels at once: their losses, what they must not depend on, and that they give what was taught."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from lpm.data.batch import Batch
from lpm.data.patches import Patches, together
from lpm.data.showers import cells_of
from lpm.model import checkpoint
from lpm.model.backbone import BackboneConfig
from lpm.model.conditional import Draws, fill
from lpm.model.heads import HEADS, AutoencodeConfig, CascadeConfig, CoupleConfig, HeadConfig, RivalConfig, SpellConfig
from lpm.model.heads.dense import DenseHead
from lpm.model.heads.spline import parameters_of, spline, unmapped
from lpm.model.model import Model, ModelConfig
from lpm.physics.geometry import GEOMETRIES, Geometry, Layer
from lpm.tokens import CellsConfig, ContinuousConfig, SharesConfig, Transform

RINGS = (0.0, 5.0, 9.0, 12.0)
GEOMETRY = Geometry("toy", (Layer(0, (0.0, 5.0, 9.0), 1), Layer(1, RINGS, 4), Layer(2, RINGS, 4)))
PATCHES = Patches(GEOMETRY, 2, 3, threshold=1e-3)
GIVEN = ("shower", "layer")
OF: dict[str, HeadConfig] = {
    "autoencode": AutoencodeConfig(of="patch", given=GIVEN, latent=3, hidden=32, depth=1),
    "couple": CoupleConfig(of="patch", given=GIVEN, couplings=4, hidden=32, bins=4),
    "cascade": CascadeConfig(of="patch", given=GIVEN, couplings=4, hidden=8, planes=8, memory=2, bins=4),
    "rival": RivalConfig(of="patch", given=GIVEN, noise=16, hidden=32, depth=1),
    "spell": SpellConfig(of="patch", given=GIVEN, codes=2, vectors=16, hidden=32),
}
Toys = Callable[..., Batch]


@cache
def showers(n: int = 64, seed: int = 0) -> Batch:
    """Showers in patches whose third layer is often empty, and whose cells fluctuate together."""
    g = torch.Generator().manual_seed(seed)
    energy = 10 ** (1 + torch.rand(n, generator=g))
    scale = torch.tensor([0.05] * 2 + [0.1, 0.03, 0.01] * 4 + [0.02, 0.002, 0.0002] * 4)
    sway = torch.randn(n, 1, generator=g) + 0.5 * torch.randn(n, len(scale), generator=g)
    grid = energy[:, None] * scale * (0.4 * sway).exp()
    grid[torch.rand(n, generator=g) < 0.3, 14:] = 0
    shower = {"energy": energy}
    return PATCHES.cut_grid(grid, cells_of(grid, GEOMETRY, shower))


def config(head: HeadConfig) -> ModelConfig:
    return ModelConfig(
        backbone=BackboneConfig(width=32, depth=1, heads=2),
        tokenizers={
            "shower": ContinuousConfig(collection="shower", fields=(Transform(field="energy", form="log"),)),
            "layer": SharesConfig(collection="layer", places=3, bins=8),
            "patch": CellsConfig(patches=together((PATCHES,))),
        },
        heads={"cells": head},
    )


def build(head: HeadConfig, moved: float = 0.05) -> Model:
    torch.manual_seed(0)
    batch = showers(400)
    model = Model(config(head), batch.schema)
    for name in model.tokenizers:
        model.tokenizer(name).fit([batch])
    for p in model.parameters():
        p.data += moved * torch.randn_like(p)
    return model


@pytest.fixture(params=OF)
def model(request: pytest.FixtureRequest) -> Model:
    return build(OF[request.param])


def test_all_are_tested() -> None:
    assert {n for n, h in HEADS.items() if issubclass(h, DenseHead)} == set(OF)
    assert all(isinstance(build(h).head("cells"), Draws) for h in OF.values())


def test_losses_are_per_shower_and_every_parameter_learns(model: Model) -> None:
    loss = model.train()(showers())["cells"]
    assert loss.shape == (64,)
    loss.mean().backward()
    silent = {n for n, p in model.named_parameters() if p.grad is None or not bool(p.grad.abs().sum() > 0)}
    # The backbone is not shown the cells, and nothing is hidden from it that could be asked for by its rank.
    assert {n for n in silent if not n.startswith("embeds.patch.") and ".rank." not in n} == set()


def test_the_backbone_does_not_see_the_cells(model: Model) -> None:
    batch, view = showers(), model.head("cells").view
    rows = batch.collections["patch"]
    other = Batch(batch.schema, {**batch.collections, "patch": rows.with_values(rows.values * 0.5)})
    a, b = (model.hidden(x, view(model.encode(x)), view).x for x in (batch, other))
    assert torch.equal(a, b)


def mixed(batch: Batch) -> Batch:
    """The same showers with their patches in another order."""
    rows = batch.collections["patch"]
    order = (rows.event + 0.9 * torch.rand(len(rows.values), generator=torch.Generator().manual_seed(1))).argsort()
    return Batch(batch.schema, {**batch.collections, "patch": rows.with_values(rows.values[order])})


def dense(model: Model, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    head = model.head("cells")
    assert isinstance(head, DenseHead)
    return head.dense(model.encode(batch)["patch"])


def test_rows_and_voxels_are_the_same_numbers(model: Model) -> None:
    head = model.head("cells")
    assert isinstance(head, DenseHead)
    tokens = model.encode(mixed(showers()))["patch"]
    x, real = head.dense(tokens)
    assert x.shape == (64, GEOMETRY.voxels)
    assert torch.equal(head.rows(x, tokens), tokens.features)
    grid = PATCHES.grid(showers())
    assert torch.equal(real[:, 2:14], torch.ones(64, 12, dtype=torch.bool))
    assert torch.equal(real[:, 14:].any(1), grid[:, 14:].sum(1) > 0)
    assert torch.equal(real[:, 14:].any(1), real[:, 14:].all(1))


def test_order_and_companions_change_nothing(model: Model) -> None:
    """Showers alone and as the first of many; a loss that draws noise is compared with the same noise."""
    model.eval()
    batch = showers()

    def losses(b: Batch) -> torch.Tensor:
        streams = model.encode(b)
        # The tokenizer spreads empty cells at random, each time anew.
        torch.manual_seed(3)
        view, head = model.head("cells").view, model.head("cells")
        tokens = streams["patch"]
        calm = replace(tokens, features=tokens.features.clamp_min(0))
        seen = view({**streams, "patch": calm})
        return head.loss(model.hidden(b, seen, view), seen, b).detach()

    whole = losses(batch)
    torch.testing.assert_close(losses(mixed(batch)), whole, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(losses(batch[:16]), whole[:16], atol=1e-5, rtol=1e-4)


def made(model: Model, batch: Batch, seed: int = 0) -> Batch:
    rows = batch.collections["patch"]
    shell = torch.where(torch.arange(rows.values.shape[1]) < 2, rows.values, torch.nan)
    empty = Batch(batch.schema, {**batch.collections, "patch": rows.with_values(shell)})
    return fill(model.eval(), empty, "cells", generator=torch.Generator().manual_seed(seed))


def test_what_is_drawn_adds_up_to_the_layers(model: Model) -> None:
    batch = showers()
    grid, layer = PATCHES.grid(PATCHES.settle(made(model, batch))), batch.field("layer.energy").values.view(64, -1)
    sums = torch.stack([g.sum(1) for g in grid.split([2, 12, 12], 1)], 1)
    torch.testing.assert_close(sums, layer, atol=1e-6, rtol=1e-5)
    assert bool(((grid == 0) | (grid >= 1e-3)).all())
    again, other = (PATCHES.grid(PATCHES.settle(made(model, batch, seed))) for seed in (0, 1))
    assert torch.equal(grid, again)
    assert not torch.equal(grid, other)
    assert len(made(model, batch[:0])) == 0


def test_what_was_saved_draws_the_same(model: Model, tmp_path: Path) -> None:
    checkpoint.save(model, tmp_path, card="")
    again = checkpoint.load(tmp_path)
    assert torch.equal(PATCHES.grid(made(model, showers())), PATCHES.grid(made(again, showers())))


def fitted(head: HeadConfig, steps: int, n: int, rate: float = 1e-2) -> tuple[Model, list[float]]:
    model, batch = build(head, moved=0.0), showers(n)
    optimiser = torch.optim.AdamW(model.parameters(), rate)
    history = []
    for _ in range(steps):
        loss = model.train()(batch)["cells"].mean()
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        history.append(float(loss.detach()))
    return model, history


@pytest.mark.parametrize("name", ["autoencode", "couple", "cascade"])
def test_a_likelihood_overfits_eight_showers(name: str) -> None:
    _, history = fitted(OF[name], 40, 8)
    assert history[-1] < history[0] - 0.5


def test_the_map_of_a_coupling_flow_is_invertible() -> None:
    model = build(OF["couple"])
    head = model.head("cells")
    x, real = dense(model, showers())
    context = torch.randn(64, head.size)
    y = x
    with torch.no_grad():
        for inverse in (False, True):
            logs = []
            for i in range(4) if not inverse else reversed(range(4)):
                y, log = head._coupled(i, y, real, context, inverse)
                logs.append(log)
            if inverse:
                torch.testing.assert_close(y, x, atol=1e-4, rtol=1e-4)
            else:
                forward = sum(logs)
                assert not torch.allclose(y, x, atol=1e-2)
                assert bool((y[~real] == 0).all())
        torch.testing.assert_close(sum(logs), -forward, atol=1e-3, rtol=1e-3)


def test_the_determinant_is_that_of_the_jacobian() -> None:
    model = build(OF["couple"])
    head = model.head("cells").double()
    x, real = dense(model, showers(64))
    x, real, context = x[:1].double(), real[:1], torch.randn(1, head.size).double()

    def chain(row: torch.Tensor) -> torch.Tensor:
        y = row[None]
        for i in range(4):
            y, _ = head._coupled(i, y, real, context, False)
        return y[0]

    logs, y = 0, x
    for i in range(4):
        y, log = head._coupled(i, y, real, context, False)
        logs = logs + log
    jacobian = torch.autograd.functional.jacobian(chain, x[0])
    torch.testing.assert_close(logs[0], torch.linalg.slogdet(jacobian)[1], atol=1e-5, rtol=1e-5)


def test_flows_from_layer_to_layer_are_invertible_and_know_their_determinant() -> None:
    head = build(OF["cascade"]).head("cells").double()
    x, real = dense(build(OF["cascade"]), showers())
    x, said = x[:, 2:14].double(), torch.randn(64, 8).double()
    planes, flow = torch.randn(64, 2, 4, 3).double(), head.flows[1]
    with torch.no_grad():
        y, log = flow(x, real[:, 2:14], planes, said)
        back, log_back = flow(y, real[:, 2:14], planes, said, inverse=True)
    torch.testing.assert_close(back, x, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(log_back, -log, atol=1e-6, rtol=1e-6)
    one = (real[:1, 2:14], planes[:1], said[:1])
    jacobian = torch.autograd.functional.jacobian(lambda row: flow(row[None], *one)[0][0], x[0])
    torch.testing.assert_close(log[0], torch.linalg.slogdet(jacobian)[1], atol=1e-6, rtol=1e-6)


def test_a_shower_turned_by_two_sectors_is_as_likely() -> None:
    """The angle has no beginning; a chequerboard and every other ring are the same after two sectors."""
    flow = build(OF["cascade"]).head("cells").flows[1]
    x, planes, said = torch.randn(5, 4, 3), torch.randn(5, 2, 4, 3), torch.randn(5, 8)
    real = torch.ones(5, 12, dtype=torch.bool)
    y, log = flow(x.flatten(1), real, planes, said)
    turned, log_turned = flow(x.roll(2, 1).flatten(1), real, planes.roll(2, 2), said)
    torch.testing.assert_close(turned.view(5, 4, 3), y.view(5, 4, 3).roll(2, 1))
    torch.testing.assert_close(log_turned, log)


def test_a_layer_depends_on_those_before_it_only() -> None:
    model = build(OF["cascade"], moved=0.3)
    head, batch = model.head("cells"), showers()
    x, real = dense(model, batch)
    context = torch.randn(64, head.size)

    def noised(first: int) -> torch.Tensor:
        """How the loss of all layers reacts to a change of one."""
        other = x.clone()
        other[:, first : first + 2] += 0.5
        sizes = torch.tensor([0, 2, 14, 26])
        out = []
        for a, b in pairwise(sizes.tolist()):
            only = real & (torch.arange(26) >= a) & (torch.arange(26) < b)
            with torch.no_grad():
                out.append((head.miss(other, only, context) - head.miss(x, only, context)).abs().max())
        return torch.stack(out) > 1e-6

    assert noised(0).tolist() == [True, True, True]
    assert noised(2).tolist() == [False, True, True]
    assert noised(14).tolist() == [False, False, True]


@pytest.mark.parametrize("inverse", [False, True])
def test_splines_are_monotonic_and_know_their_slope(inverse: bool) -> None:
    g = torch.Generator().manual_seed(0)
    x = torch.linspace(-4, 4, 400, dtype=torch.float64, requires_grad=True)
    p = 2 * torch.randn(parameters_of(6), generator=g, dtype=torch.float64)
    y, log = spline(x, p.expand(400, -1), 3.0, inverse=inverse)
    (slope,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(log.exp(), slope, atol=1e-9, rtol=1e-6)
    assert bool((y.diff() > 0).all())
    assert torch.equal(y[x.abs() >= 3], x[x.abs() >= 3])
    still, none = spline(x, torch.zeros(400, parameters_of(6), dtype=torch.float64), 3.0, inverse=inverse)
    torch.testing.assert_close(still, x)
    assert float(none.detach().abs().max()) < 1e-6


def test_splines_keep_their_precision_where_products_are_made_in_half() -> None:
    g = torch.Generator().manual_seed(0)
    y, p = torch.linspace(-2, 2, 50), torch.randn(50, parameters_of(6), generator=g)
    whole = unmapped(y, p, 3.0)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(unmapped(y, p, 3.0), whole, atol=1e-6, rtol=1e-6)


def test_patches_that_are_not_cells_are_refused() -> None:
    plain = ContinuousConfig(collection="patch", fields=(Transform(field="e0", form="log"),))
    wrong = config(OF["couple"])
    with pytest.raises(ValueError, match="expected the tokenizer of cells"):
        Model(replace(wrong, tokenizers={**wrong.tokenizers, "patch": plain}), showers().schema)


def test_codes_tell_more_the_longer_the_books_follow_the_data() -> None:
    head = build(OF["spell"]).head("cells")
    rows = torch.randn(300, 1) + 0.1 * torch.randn(300, 6)
    real = torch.arange(6).expand(300, 6) < 4
    rows = rows * real

    def left() -> float:
        codes, told = head.books.spell(rows, real)
        torch.testing.assert_close(head.books.read(codes, real), told)
        return float((rows - told).square().sum() / real.sum())

    errors = [left()]
    for _ in range(30):
        head.books.follow(rows, real)
        errors.append(left())
    assert errors[-1] < min(0.03, 0.5 * errors[1])
    assert errors[1] < 0.3 * errors[0]
    assert len(head.books.spell(rows, real)[0].unique(dim=0)) > 40
    before = head.books.vectors.clone()
    head.books.follow(rows[:0], real[:0])
    assert torch.equal(head.books.vectors, before)


def test_books_follow_in_training_only() -> None:
    model = build(OF["spell"])
    books = model.head("cells").books
    before = books.vectors.clone()
    model.eval()(showers())
    with torch.no_grad():
        model.train()(showers())
    assert torch.equal(books.vectors, before)
    model(showers())
    assert not torch.equal(books.vectors, before)


def test_several_geometries_are_refused() -> None:
    many = together((PATCHES, Patches(GEOMETRIES["1-photons"], 2, 3, threshold=1e-3)))
    wrong = config(OF["couple"])
    with pytest.raises(ValueError, match="those of one geometry, got 2"):
        Model(replace(wrong, tokenizers={**wrong.tokenizers, "patch": CellsConfig(patches=many)}), showers().schema)


@pytest.mark.parametrize("change", [{"couplings": 3}, {"hidden": 0}, {"bins": 1}, {"reach": 0.0}])
def test_couplings_that_make_no_sense_are_refused(change: dict[str, object]) -> None:
    for name in ("couple", "cascade"):
        with pytest.raises(ValueError, match="even number"):
            replace(OF[name], **change)


def test_what_a_head_reads_beside_must_be_there() -> None:
    known = config(OF["couple"])
    tokenizers = {n: t for n, t in known.tokenizers.items() if n != "layer"}
    with pytest.raises(ValueError, match="which the model has no tokenizer of"):
        Model(replace(known, tokenizers=tokenizers), showers().schema)


def test_networks_without_size_are_refused() -> None:
    with pytest.raises(ValueError, match="latent, hidden, beta > 0"):
        replace(OF["autoencode"], latent=0)
    with pytest.raises(ValueError, match="noise, hidden, penalty > 0"):
        replace(OF["rival"], penalty=0.0)
    with pytest.raises(ValueError, match="vectors > 1"):
        replace(OF["spell"], vectors=1)

"""Rows filled in given what is known of their events, and flows that learned to take large steps."""

from dataclasses import replace

import pytest
import torch

from lpm.data.patches import Patches
from lpm.data.showers import cells_of
from lpm.model.backbone import BackboneConfig
from lpm.model.conditional import fill
from lpm.model.distil import Distilled
from lpm.model.draw import Chooser, SampleConfig, uniform_of
from lpm.model.flow_sample import FlowSampleConfig
from lpm.model.heads import ClassifyConfig, FlowConfig, NextTokenConfig
from lpm.model.model import Model, ModelConfig
from lpm.physics.geometry import Geometry, Layer
from lpm.tokens import CellsConfig, ContinuousConfig, SharesConfig, Tokens, Transform

SMALL = Geometry("small", (Layer(0, (0.0, 5.0, 9.0, 12.0), 2), Layer(1, (0.0, 5.0, 6.0), 1), Layer(2, (0.0, 5.0), 1)))
PATCHES = Patches(SMALL, 2, 2, threshold=1e-3)
CPU = torch.device("cpu")


def showers(count, seed=0):
    g = torch.Generator().manual_seed(seed)
    energy = torch.exp(torch.randn(count, generator=g))
    x = energy[:, None] * torch.empty(count, SMALL.voxels).exponential_(generator=g) * 0.1
    return PATCHES.cut(cells_of(torch.where(x > 1e-3, x, 0), SMALL, {"energy": energy}))


def config(jumps=0):
    return ModelConfig(
        backbone=BackboneConfig(width=32, depth=2, heads=2),
        tokenizers={
            "shower": ContinuousConfig(collection="shower", fields=(Transform(field="energy", form="log"),)),
            "layer": SharesConfig(collection="layer", places=3, bins=16),
            "patch": CellsConfig(patches=(PATCHES,)),
        },
        heads={
            "energies": NextTokenConfig(of="layer", given=("shower",), typical=3.0),
            "cells": FlowConfig(of="patch", jumps=jumps),
        },
    )


def made(kind=Model, jumps=0, *more):
    """A model whose heads answer something."""
    torch.manual_seed(0)
    batch = showers(400)
    model = kind(config(jumps), batch.schema, *more)
    for name in model.tokenizers:
        model.tokenizer(name).fit([batch])
    for p in model.heads.parameters():
        torch.nn.init.normal_(p, std=0.1)
    return model.eval()


@pytest.fixture
def model():
    return made()


def test_rows_grown_one_by_one_are_those_of_one_pass(model):
    """The cache of growing gives the states that the whole, seen causally, gives at once."""
    grown = fill(model, PATCHES.lay_out(showers(30, seed=1)), "energies", generator=torch.Generator().manual_seed(5))
    head, again = model.head("energies"), torch.Generator().manual_seed(5)
    streams = model.encode(grown)
    before = model.hidden(grown, head.view(streams), head.view).before("layer").view(30, 3, -1)
    choose, codes = Chooser(SampleConfig(), uniform_of(again, CPU), CPU), streams["layer"].codes.view(30, 3)
    for i in range(3):
        assert torch.equal(head.chain.sample(before[:, i], choose)[:, 0], codes[:, i])
        torch.rand(30, generator=again)  # the place within the bin
    assert len(codes.unique()) > 5


def test_only_what_is_asked_for_changes(model):
    batch = showers(10)
    batch.collections["patch"].values[:, 2:] = batch.collections["patch"].values[:, 2:] * 0
    out = fill(model, batch, "cells", generator=torch.Generator().manual_seed(0))
    for name in ("shower", "layer"):
        assert torch.equal(out.collections[name].values, batch.collections[name].values)
    torch.testing.assert_close(out.field("patch.layer").values, batch.field("patch.layer").values)
    cells = out.collections["patch"].values[:, 2:]
    assert torch.equal(cells.isnan(), batch.collections["patch"].values[:, 2:].isnan())
    assert float(cells.nan_to_num().sum()) > 0
    assert float(batch.collections["patch"].values[:, 2:].nan_to_num().sum()) == 0


def test_what_is_to_be_made_does_not_matter_before(model):
    """A flow starts from noise: cells that the rows hold already are not looked at."""
    batch = showers(10)
    shell = PATCHES.lay_out(batch, *(batch.field(f"layer.{n}").values.view(10, 3) for n in ("energy", "share")))
    a, b = (fill(model, x, "cells", generator=torch.Generator().manual_seed(0)) for x in (batch, shell))
    assert torch.equal(a.collections["patch"].values.nan_to_num(), b.collections["patch"].values.nan_to_num())


def test_the_energies_do_not_see_the_cells(model):
    batch, other = showers(20, seed=2), showers(20, seed=3)
    mixed = replace(batch, collections={**batch.collections, "patch": other.collections["patch"]})
    assert torch.equal(model(batch)["energies"], model(mixed)["energies"])
    assert not torch.equal(model(batch)["cells"], model(mixed)["cells"])


def test_companions_change_nothing(model):
    whole, alone = (model.predict(b, ("energies",))["energies"] for b in (showers(12), showers(12)[3:5]))
    torch.testing.assert_close(whole[9:15], alone, rtol=1e-5, atol=1e-6)


def test_events_of_different_layouts_are_refused(model):
    batch = showers(2)
    rows = batch.collections["layer"]
    short = replace(rows, values=rows.values[:5], offsets=torch.tensor([0, 3, 5]))
    with pytest.raises(ValueError, match="for events that have equally many"):
        fill(model, replace(batch, collections={**batch.collections, "layer": short}), "energies",
             generator=torch.Generator())  # fmt: skip


def test_a_head_that_makes_nothing_is_refused(model):
    other = ModelConfig(
        backbone=BackboneConfig(width=32, depth=1, heads=2), tokenizers={"shower": config().tokenizers["shower"]},
        heads={"which": ClassifyConfig(target="shower.particle", classes=("photon", "pion"))},
    )  # fmt: skip
    batch = showers(2)
    with pytest.raises(ValueError, match="head which makes no rows"):
        fill(Model(other, batch.schema), batch, "which", generator=torch.Generator())


def test_a_view_of_nothing_known_is_refused():
    wrong = replace(config(), heads={"energies": NextTokenConfig(of="layer", given=("sower",))})
    with pytest.raises(ValueError, match="is to see 'sower', which the model has no tokenizer of"):
        Model(wrong, showers(2).schema)


def test_a_flow_of_placed_rows_draws_no_number_of_them(model):
    with pytest.raises(ValueError, match="its rows lie at fixed places"):
        model.head("cells").lengths(torch.zeros(3, dtype=torch.int64), torch.Generator())


def test_a_student_is_told_where_the_path_of_its_teacher_leads():
    teacher = made()
    student = made(Distilled, 4, teacher)
    assert not [n for n in student.state_dict() if "teacher" in n]
    batch = showers(40, seed=4)
    head, streams = student.head("cells"), student.encode(batch)
    ground = student.ground(batch, head.view.only)
    seen = student._step("cells", head, batch, streams, ground)["patch"]
    assert set((seen.time * 4).tolist()) <= {0.0, 1.0, 2.0, 3.0}
    mover = teacher.head("cells")
    for which in range(0, 40, 7):  # shower by shower, in two steps of the midpoint rule
        one = batch[which : which + 1]
        rows = slice(int(seen.offsets[which]), int(seen.offsets[which + 1]))
        known = {"place": seen.place[rows], "known": seen.known[rows], "real": seen.real[rows]}
        others = {n: student.tokenizer(n).encode(one) for n in ("shower", "layer")}

        def velocity(x, t, one=one, known=known, others=others):
            tokens = Tokens(torch.tensor([0, len(x)]), features=x, time=torch.tensor([t]), **known)
            return mover.velocity(teacher.hidden(one, {**others, "patch": tokens}, mover.view), tokens)

        x, t = seen.features[rows], float(seen.time[which])
        for i in range(2):
            half = x + velocity(x, t + i / 8) / 16
            x = x + velocity(half, t + i / 8 + 1 / 16) / 8
        torch.testing.assert_close(seen.velocity[rows], (x - seen.features[rows]) * 4, rtol=1e-3, atol=1e-3)


def test_a_student_learns_the_steps():
    torch.manual_seed(0)
    teacher = made()
    student = made(Distilled, 2, teacher).train()
    student.load_state_dict(teacher.state_dict())
    batch, losses = showers(32, seed=6), []
    optimiser = torch.optim.Adam(student.parameters(), lr=3e-3)
    for _ in range(25):
        loss = student(batch)["cells"].mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.6 * sum(losses[:5])
    assert all(not p.requires_grad for p in teacher.parameters())


def test_a_student_takes_its_own_steps_only():
    student = made(Distilled, 3, made())
    batch = showers(4)
    with pytest.raises(ValueError, match="distilled to 3 steps of euler, got 8 of midpoint"):
        fill(student, batch, "cells", config=FlowSampleConfig(), generator=torch.Generator())
    fill(student, batch, "cells", generator=torch.Generator())


def test_a_student_needs_something_to_learn():
    with pytest.raises(ValueError, match="no flow is to learn large steps"):
        made(Distilled, 0, made())

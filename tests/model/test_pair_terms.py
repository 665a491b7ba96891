"""Couplings as a plug: the same terms reach the bias of the plain body, ParticleNet and the Particle Transformer."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lpm.data.batch import Batch
from lpm.data.fields import OBJECT_TYPES
from lpm.data.schema import Collection, Field, Schema
from lpm.model.backbone import BackboneConfig
from lpm.model.edges import EdgesConfig
from lpm.model.heads import ClassifyConfig, NextTokenConfig
from lpm.model.model import Model, ModelConfig
from lpm.model.pair_terms import KINEMATIC, STANDARD_MODEL, PairTermsConfig
from lpm.model.pairs import PairBiasConfig
from lpm.model.sets import ParticleNetConfig, ParticleTransformerConfig
from lpm.model.sets.base import species
from lpm.physics.couplings import OBJECTS
from lpm.records.config import from_dict, to_dict
from lpm.tokens import BinnedConfig, ContinuousConfig, Transform

PHYSICS = PairTermsConfig(terms=KINEMATIC + STANDARD_MODEL, species="object.type")
PLACE = {"of": "object", "pt": "object.pt", "eta": "object.eta", "phi": "object.phi"}
SEEN = ContinuousConfig(collection="object", fields=(Transform(field="pt", form="log"), Transform(field="eta")))
HEADS = {"label": ClassifyConfig(target="event.label", classes=("rest", "tttt"))}
PART = replace(ParticleTransformerConfig(**PLACE, energy="object.energy").tiny(), dropout=0.0)
NET = replace(ParticleNetConfig(**PLACE, energy="object.energy").tiny(), dropout=0.0)
CONFIGS = {
    "ParT": ModelConfig(backbone=replace(PART, physics=PHYSICS), tokenizers={"object": SEEN}, heads=HEADS),
    "ParticleNet": ModelConfig(backbone=replace(NET, physics=PHYSICS), tokenizers={"object": SEEN}, heads=HEADS),
    "plain": ModelConfig(
        backbone=BackboneConfig(width=16, depth=2, heads=2),
        tokenizers={"object": SEEN},
        heads=HEADS,
        pairs=PairBiasConfig(**PLACE, physics=PHYSICS),
    ),
    "edges": ModelConfig(
        backbone=BackboneConfig(width=16, depth=2, heads=2),
        tokenizers={"object": SEEN},
        heads=HEADS,
        pairs=PairBiasConfig(**PLACE, physics=PHYSICS, edges=EdgesConfig(width=8)),
    ),
}


def events(n: int = 30, labels: tuple[str, ...] = OBJECT_TYPES) -> Batch:
    """Events of objects; what they are is not among the features."""
    g = torch.Generator().manual_seed(0)
    lengths = torch.randint(2, 9, (n,), generator=g)
    size = int(lengths.sum())
    kind = Field(name="type", kind="category", labels=labels)
    fields = (Field(name="pt", unit="GeV"), Field(name="eta"), Field(name="phi", unit="rad", kind="angle"))
    event = Field(name="label", kind="category", labels=("rest", "tttt"), truth=True)
    schema = Schema(
        name="events",
        collections=(
            Collection(name="object", fields=(*fields, Field(name="energy", unit="GeV"), kind)),
            Collection(name="event", fields=(event,), single=True),
        ),
    )
    pt, eta = 20 + torch.empty(size).exponential_(0.02, generator=g), torch.randn(size, generator=g)
    columns = {
        "object.pt": pt,
        "object.eta": eta,
        "object.phi": 6 * torch.rand(size, generator=g) - 3,
        "object.energy": (pt * eta.cosh()).square().add(25.0).sqrt(),
        "object.type": torch.randint(0, len(labels), (size,), generator=g).float(),
        "event.label": torch.randint(0, 2, (n,), generator=g).float(),
    }
    return Batch.build(schema, columns, {"object": lengths})


def build(config: ModelConfig, batch: Batch) -> Model:
    torch.manual_seed(0)
    model = Model(config, batch.schema)
    model.tokenizer("object").fit([batch])
    for p in model.parameters():
        p.data += 0.2 * torch.randn_like(p)
    return model.eval()


@pytest.mark.parametrize("name", CONFIGS)
def test_what_objects_are_reaches_the_answer_through_couplings_alone(name: str) -> None:
    batch, config = events(), CONFIGS[name]
    other = batch.with_field("object", batch.schema.field("object.type"), batch.field("object.type").values * 0)
    model = build(config, batch)
    assert not torch.allclose(model.predict(batch)["label"], model.predict(other)["label"], atol=1e-4)
    plain = PairTermsConfig(terms=KINEMATIC)
    if config.pairs:
        without = replace(config, pairs=replace(config.pairs, physics=plain))
    else:
        without = replace(config, backbone=replace(config.backbone, physics=plain))
    model = build(without, batch)
    assert torch.equal(model.predict(batch)["label"], model.predict(other)["label"])


@pytest.mark.parametrize("name", CONFIGS)
def test_they_are_matched_by_name_not_by_number(name: str) -> None:
    batch = events()
    model = build(CONFIGS[name], batch)
    kind = batch.schema.field("object.type")
    turned = batch.with_field(
        "object", replace(kind, labels=kind.labels[::-1]), len(OBJECT_TYPES) - 1 - batch.field("object.type").values
    )
    torch.testing.assert_close(model.predict(batch)["label"], model.predict(turned)["label"], atol=1e-5, rtol=1e-4)
    assert from_dict(ModelConfig, to_dict(CONFIGS[name])) == CONFIGS[name]


@pytest.mark.parametrize("name", CONFIGS)
def test_it_trains_and_asks_for_its_fields(name: str) -> None:
    batch = events()
    model = build(CONFIGS[name], batch).train()
    model(batch)["label"].mean().backward()
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)
    assert "object.type" in model.config.kinematics


def test_unknown_kinds_couple_to_nothing_and_are_no_error() -> None:
    batch = events(labels=("tau", "b_jet", "jet"))
    found = species(batch, "object.type", "object")
    expected = torch.tensor([len(OBJECTS), 1, 0])[batch.field("object.type").values.long()]
    assert torch.equal(found, expected)
    missing = batch.with_field("object", batch.schema.field("object.type"), torch.full((len(found),), float("nan")))
    assert bool((species(missing, "object.type", "object") == len(OBJECTS)).all())
    assert bool((species(batch, None, "object") == len(OBJECTS)).all())
    with pytest.raises(ValueError, match="expected a category"):
        species(batch, "object.pt", "object")


def test_terms_come_in_the_order_asked_for() -> None:
    known = {t: torch.tensor([float(i)]) for i, t in enumerate(KINEMATIC)}
    picked = PairTermsConfig(terms=("ln_m2", "ln_kt")).pick(known, None, None)
    assert [float(x) for x in picked] == [3.0, 0.0]


def test_couplings_without_the_category_are_refused() -> None:
    with pytest.raises(ValueError, match="name that category in `species`"):
        PairTermsConfig(terms=STANDARD_MODEL)


def test_energy_and_mass_are_not_both_named() -> None:
    with pytest.raises(ValueError, match="say the same"):
        ParticleTransformerConfig(energy="particle.energy", mass="particle.mass")


def test_a_mass_gives_the_energy() -> None:
    batch = events()
    heavy = batch.with_field(
        "object", Field(name="mass", unit="GeV"), torch.full((len(batch.field("object.pt").values),), 5.0)
    )
    p = replace(PART, energy=None, mass="object.mass").momenta(heavy)
    torch.testing.assert_close(
        p[:, 3].square() - p[:, :3].square().sum(1), torch.full((len(p),), 25.0), rtol=0, atol=0.5
    )


def test_generation_has_no_couplings() -> None:
    told = BinnedConfig(collection="object", fields=(Transform(field="pt", form="log"),), bins=(8,))
    config = replace(CONFIGS["plain"], tokenizers={"object": told}, heads={"next": NextTokenConfig(of="object")})
    with pytest.raises(ValueError, match="couplings are not known"):
        Model(config, events().schema)

"""What every tokenizer promises: a round trip within its resolution, no truth, the same after saving."""

from collections.abc import Callable

import pytest
import torch

from lpm.data.batch import Batch
from lpm.recipes.jets import hybrid, kinematics
from lpm.records.config import from_dict, to_dict
from lpm.tokens import (
    TOKENIZERS,
    BinnedConfig,
    ContinuousConfig,
    QuantisedConfig,
    Tokenizer,
    TokenizerConfig,
    Transform,
)

SEEN = ContinuousConfig(collection="particle", fields=kinematics())
CONFIGS: dict[str, TokenizerConfig] = {
    "continuous": SEEN,
    "binned": BinnedConfig(collection="particle", fields=kinematics(), bins=(64, 64, 64)),
    "product": BinnedConfig(collection="particle", fields=kinematics(), bins=(40, 40, 40), product=True),
    "hybrid": hybrid(64),
    "vq": QuantisedConfig(seen=SEEN, codes=64, width=32, depth=1),
    "fsq": QuantisedConfig(seen=SEEN, codes=240, method="fsq", levels=(8, 6, 5), width=32, depth=1),
}
PLACED = {"shares", "cells"}
"""Tokenizers of rows at fixed places, which jets have none of: see test_placed.py."""
ERROR = {"continuous": 1e-4, "binned": 0.08, "product": 0.12, "hybrid": 0.08}
"""Largest median error of log pt; learned codes are tested after training, below."""


@pytest.fixture(params=CONFIGS)
def tokenizer(request: pytest.FixtureRequest, toy_jets: Callable[..., Batch]) -> Tokenizer:
    torch.manual_seed(0)
    made = CONFIGS[request.param].build()
    made.fit([toy_jets(500, seed=1), toy_jets(500, seed=2)])
    made.name = request.param
    return made


def test_every_tokenizer_is_tested() -> None:
    assert {type(c.build()) for c in CONFIGS.values()} == {t for n, t in TOKENIZERS.items() if n not in PLACED}


def test_round_trip(tokenizer: Tokenizer, toy_jets: Callable[..., Batch]) -> None:
    batch = toy_jets(200, seed=3)
    tokens = tokenizer.encode(batch)
    back = tokenizer.decode(tokens)
    true = batch.collections["particle"]
    assert back.values.shape == (len(true.values), len(tokenizer.paths))
    assert torch.equal(back.offsets, true.offsets)
    if tokenizer.name in ERROR:
        error = (back.values[:, 0].log() - batch.field("particle.pt").values.log()).abs().median()
        assert error < ERROR[tokenizer.name]
    if tokenizer.vocab:
        assert tokens.codes is not None
        assert tokens.codes.shape[1] == len(tokenizer.vocab)
        assert bool(((tokens.codes >= 0) & (tokens.codes < torch.tensor(tokenizer.vocab))).all())
    if tokenizer.width:
        assert tokens.features is not None
        assert tokens.features.shape[1] == tokenizer.width


def test_decoding_is_stable(tokenizer: Tokenizer, toy_jets: Callable[..., Batch]) -> None:
    """Binned values decoded and encoded again give the same codes."""
    if tokenizer.name not in ("binned", "product", "hybrid"):
        pytest.skip("learned and continuous tokens make no such promise")
    batch = toy_jets(100)
    tokens = tokenizer.encode(batch)
    values = tokenizer.decode(tokens).values
    again = batch
    for i, path in enumerate(tokenizer.paths):
        again = again.with_field("particle", batch.schema.field(path), values[:, i])
    assert torch.equal(tokenizer.encode(again).codes, tokens.codes)


def test_saved_and_loaded_is_the_same(tokenizer: Tokenizer, toy_jets: Callable[..., Batch]) -> None:
    config = from_dict(type(tokenizer.config), to_dict(tokenizer.config))
    copy = config.build()
    copy.load_state_dict(tokenizer.state_dict())
    a, b = tokenizer.encode(toy_jets(50)), copy.encode(toy_jets(50))
    for x, y in ((a.features, b.features), (a.codes, b.codes)):
        assert (x is None and y is None) or torch.equal(x, y)


def test_events_without_rows(tokenizer: Tokenizer, toy_jets: Callable[..., Batch]) -> None:
    batch = toy_jets(4)
    rows = batch.collections["particle"]
    none = Batch(
        batch.schema, {**batch.collections, "particle": rows.from_lengths(rows.values[:0], torch.zeros(4).long())}
    )
    assert len(tokenizer.decode(tokenizer.encode(none)).values) == 0


def test_truth_is_refused(toy_jets: Callable[..., Batch]) -> None:
    label = ContinuousConfig(collection="jet", fields=(Transform(field="label", form="category"),), classes=(2,))
    with pytest.raises(ValueError, match=r"jet\.label is truth"):
        label.build().fit([toy_jets()])


def test_missing_values_become_the_mean_or_are_refused(toy_jets: Callable[..., Batch]) -> None:
    batch = toy_jets(20)
    pt = batch.field("particle.pt").values.clone()
    pt[3] = float("nan")
    hole = batch.with_field("particle", batch.schema.field("particle.pt"), pt)
    tokens = SEEN.build().fit([batch]).encode(hole)
    assert tokens.features is not None
    assert tokens.features[3, 0] == 0
    with pytest.raises(ValueError, match="missing values"):
        CONFIGS["binned"].build().fit([batch]).encode(hole)


def test_features_are_learned_from_what_there_is(toy_jets: Callable[..., Batch]) -> None:
    """A field without a value is passed on as it is, and no event at all is an error, not a scale of nothing."""
    batch, config = toy_jets(20), ContinuousConfig(collection="particle", fields=(Transform(field="pt"),))
    with pytest.raises(ValueError, match="cannot standardise fields of particle: there is no event to learn from"):
        config.build().fit(iter(()))
    pt = batch.field("particle.pt").values
    unknown = batch.with_field("particle", batch.schema.field("particle.pt"), torch.full_like(pt, torch.nan))
    features = config.build().fit([unknown]).encode(batch).features
    assert features is not None
    torch.testing.assert_close(features[:, 0], pt.clamp(max=config.clip))


def test_sampled_values_lie_in_their_bin(toy_jets: Callable[..., Batch]) -> None:
    batch = toy_jets(300)
    binned = CONFIGS["binned"].build().fit([batch])
    tokens = binned.encode(batch)
    drawn = binned.decode(tokens, torch.Generator().manual_seed(0)).values
    assert not torch.equal(drawn, binned.decode(tokens).values)
    assert (binned.codes(drawn) == tokens.codes).float().mean() > 0.999  # rounding at the edges


def test_standardised_features_have_unit_scale(toy_jets: Callable[..., Batch]) -> None:
    parts = [toy_jets(300, seed=s) for s in range(4)]
    features = SEEN.build().fit(parts).encode(Batch.cat(parts)).features
    assert features is not None
    torch.testing.assert_close(features.mean(0), torch.zeros(3), atol=1e-3, rtol=0)
    torch.testing.assert_close(features.std(0), torch.ones(3), atol=2e-3, rtol=0)


def test_training_lowers_the_error_of_learned_codes(toy_jets: Callable[..., Batch]) -> None:
    torch.manual_seed(0)
    vq = CONFIGS["vq"].build().fit([toy_jets(500)])
    optimiser = torch.optim.Adam(vq.parameters(), 3e-3)

    def error() -> float:
        batch = toy_jets(200, seed=9)
        truth = vq.seen.encode(batch).features
        values = vq.decode(vq.encode(batch)).values
        return float((vq.seen.features(values) - truth).square().mean())

    before = error()
    for step in range(60):
        sum(x.mean() for x in vq.loss(toy_jets(100, seed=step)).values()).backward()
        optimiser.step()
        optimiser.zero_grad()
    assert error() < 0.5 * before


def test_bins_must_fit_fields() -> None:
    with pytest.raises(ValueError, match="bins"):
        BinnedConfig(collection="particle", fields=kinematics(), bins=(10,))


def test_shares_and_lengths_follow_from_the_event(toy_jets: Callable[..., Batch]) -> None:
    config = ContinuousConfig(
        collection="particle", fields=kinematics(), shares=("pt",), lengths=(("deta", "dphi"),), clip=100.0
    )
    batch = toy_jets(200)
    made = config.build().fit([batch])
    features = made.encode(batch).features
    assert features.shape[1] == made.width == 5
    pt, deta, dphi = (batch.field(f"particle.{n}") for n in ("pt", "deta", "dphi"))
    share, length = (features[:, i] * made.std[i] + made.mean[i] for i in (3, 4))
    torch.testing.assert_close(pt.with_values(share.exp()).sum(), torch.ones(200), rtol=1e-4, atol=0)
    torch.testing.assert_close(length, torch.hypot(deta.values, dphi.values), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(features.mean(0), torch.zeros(5), atol=1e-3, rtol=0)
    back = made.decode(made.encode(batch))
    torch.testing.assert_close(back.values, batch.collections["particle"].values, rtol=1e-3, atol=1e-3)
    with pytest.raises(ValueError, match="whole events"):
        made.features(batch.collections["particle"].values)

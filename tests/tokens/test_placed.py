"""Tokenizers of rows at fixed places: round trips, atoms, gaps, what is not known."""

import pytest
import torch

from lpm.data.patches import Patches
from lpm.data.showers import cells_of
from lpm.physics.geometry import Geometry, Layer
from lpm.records.config import from_dict, to_dict
from lpm.tokens import CellsConfig, SharesConfig, Tokens

SMALL = Geometry("small", (Layer(0, (0.0, 5.0, 9.0, 12.0), 2), Layer(1, (0.0, 5.0, 6.0), 1)))
PATCHES = Patches(SMALL, 2, 2, threshold=1e-3)


def showers(count=500, seed=0):
    """Showers whose cells grow with their energy; cells below the threshold saw nothing."""
    g = torch.Generator().manual_seed(seed)
    energy = torch.exp(3 * torch.randn(count, generator=g))
    x = energy[:, None] * torch.empty(count, SMALL.voxels).exponential_(generator=g) * torch.linspace(0.01, 0.2, 8)
    return PATCHES.cut(cells_of(torch.where(x > 1e-3, x, 0), SMALL, {"energy": energy}))


@pytest.fixture(params=["shares", "cells"])
def config(request):
    if request.param == "shares":
        return SharesConfig(collection="layer", places=2, given="shower.energy")
    return CellsConfig(patches=(PATCHES,))


def test_round_trip(config):
    batch = showers()
    tokenizer = config.build().fit([batch])
    tokens = tokenizer.encode(batch)
    back, true = tokenizer.decode(tokens), batch.collections[tokenizer.collection].values
    columns = [batch.schema[tokenizer.collection].names.index(p.partition(".")[2]) for p in tokenizer.paths]
    true = true[:, columns]
    assert back.values.shape == true.shape
    assert torch.equal(back.values.isnan(), true.isnan())
    real = ~true.isnan()
    assert torch.equal((back.values == 0)[real], (true == 0)[real])
    error = ((back.values - true) / true.clamp_min(1e-9)).abs()[real & (true > 0)]
    assert float(error.quantile(0.99)) < (0.1 if tokenizer.vocab else 1e-4)


def test_saved_and_loaded_it_is_the_same(config):
    torch.manual_seed(0)
    batch = showers()
    tokenizer = config.build().fit([batch])
    copy = from_dict(type(config), to_dict(config)).build()
    copy.load_state_dict(tokenizer.state_dict())
    torch.manual_seed(1)
    a = tokenizer.encode(batch)
    torch.manual_seed(1)
    b = copy.encode(batch)
    assert torch.equal(a.features, b.features)
    assert a.codes is None or torch.equal(a.codes, b.codes)


def test_other_places_are_refused(config):
    tokenizer = config.build().fit([showers()])
    batch = showers(3)
    rows = batch.collections[tokenizer.collection]
    rows.values[0, batch.schema[tokenizer.collection].index("place")] = 77
    with pytest.raises(ValueError, match="reaches 77, expected places below"):
        tokenizer.encode(batch)


def test_each_place_has_its_own_range():
    """Places of a geometry that was seen at high energies only say nothing of those of another."""
    batch = showers()
    batch.collections["shower"].values[:] = torch.linspace(1, 10, len(batch))[:, None]
    other = showers(seed=1)
    other.collections["shower"].values[:] = torch.linspace(100, 1000, len(other))[:, None]
    other.collections["layer"].values[:, other.schema["layer"].index("place")] += 2
    tokenizer = SharesConfig(collection="layer", places=5, given="shower.energy").build().fit([batch, other])
    assert tokenizer.range.tolist() == [[1, 10], [1, 10], [100, 1000], [100, 1000], [-torch.inf, torch.inf]]


def test_models_of_one_range_for_all_places_are_still_read():
    tokenizer = SharesConfig(collection="layer", places=2, given="shower.energy").build().fit([showers()])
    copy = tokenizer.config.build()
    copy.load_state_dict({**tokenizer.state_dict(), "range": torch.tensor([0.5, 3.0])})
    assert copy.range.tolist() == [[0.5, 3.0], [0.5, 3.0]]


def test_ranks_are_even_and_atoms_exact():
    batch = showers(2000)
    tokenizer = SharesConfig(collection="layer", places=2, bins=50).build().fit([batch])
    tokens = tokenizer.encode(batch)
    inside = (tokens.codes[:, 0] > 0) & (tokens.codes[:, 0] < 51) & (tokens.place == 1)
    rank = (tokens.features[inside, 0] / 3**0.5 + 1) / 2
    assert float((rank.sort().values - torch.linspace(0, 1, len(rank))).abs().max()) < 0.02
    assert abs(float(tokens.features[inside, 0].std()) - 1) < 0.02
    ends = Tokens(torch.tensor([0, 2]), codes=torch.tensor([[0], [51]]), place=torch.tensor([1, 1]))
    assert tokenizer.decode(ends).values[:, 1].tolist() == [0.0, 1.0]


def test_drawn_shares_are_distributed_as_the_true_ones():
    batch = showers(4000)
    tokenizer = SharesConfig(collection="layer", places=2, bins=64).build().fit([batch])
    tokens = tokenizer.encode(batch)
    drawn = tokenizer.decode(tokens, torch.Generator().manual_seed(0)).values
    for place in (0, 1):
        a, b = (x[drawn[:, 0] == place].sort().values for x in (drawn[:, 1], batch.field("layer.share").values))
        below = (torch.searchsorted(a, b) / len(a) - torch.arange(len(b)) / len(b)).abs()  # Kolmogorov and Smirnov
        assert float(below[b > 0].max()) < 1.5 / 64


def test_features_of_cells_are_standard_at_every_energy():
    batch = showers(20_000)
    tokenizer = CellsConfig(patches=(PATCHES,)).build().fit([batch])
    tokens = tokenizer.encode(batch)
    layer = batch.field("patch.layer").values
    for low, high in ((1e-2, 1e-1), (1.0, 3.0), (10.0, 100.0)):
        rows = (layer > low) & (layer < high)
        x = tokens.features[rows][tokens.real[rows]]
        assert abs(float(x.mean())) < 0.1
        assert abs(float(x.std()) - 1) < 0.15


def test_empty_layers_and_cells_that_are_not_there_are_not_real():
    batch = showers(50)
    tokenizer = CellsConfig(patches=(PATCHES,)).build().fit([batch])
    empty = PATCHES.lay_out(batch, torch.tensor([[1.0, 0.0]]).expand(50, 2))
    tokens = tokenizer.encode(empty)
    assert torch.equal(tokens.real.any(1), torch.from_numpy(PATCHES.layers == 0).repeat(50))
    assert int(tokens.real.sum()) == 50 * 6
    assert bool((tokens.features[~tokens.real] == 0).all())
    assert bool(tokens.features.isfinite().all())
    made = tokenizer.decode(tokens).values[:, 2:].nan_to_num()
    assert float(made[torch.from_numpy(PATCHES.layers == 1).repeat(50)].sum()) == 0


def test_cells_need_a_threshold_and_every_place():
    with pytest.raises(ValueError, match="expected patches with a threshold above 0 GeV"):
        CellsConfig(patches=(Patches(SMALL, 2, 2),))
    with pytest.raises(ValueError, match="no row at place 0"):
        CellsConfig(patches=(PATCHES,)).build().fit([])
    with pytest.raises(ValueError, match="expected bins and places"):
        SharesConfig(collection="layer", places=0)

"""Models for programs that know no packed events: the same answers, whatever lies at padding."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from lpm.data.batch import Batch
from lpm.model.edges import EdgesConfig
from lpm.model.heads import ClassifyConfig
from lpm.model.model import Model, ModelConfig
from lpm.model.padded import Padded
from lpm.model.sets import DeepSetsConfig, ParticleNetConfig
from lpm.recipes.jets import kinematics
from lpm.recipes.pid import multi
from lpm.sim.pid import simulate
from lpm.tokens import BinnedConfig, ContinuousConfig
from tests.model.sets import test_particle_transformer as transformer
from tests.model.test_model import CONFIG, PAIRS, build

Jets = Callable[..., Batch]

ANSWERING = {n: CONFIG.heads[n] for n in ("label", "pt")}
EDGES = replace(CONFIG, heads=ANSWERING, pairs=replace(PAIRS, edges=EdgesConfig(width=8)))
SEEN = ContinuousConfig(collection="particle", fields=kinematics(), shares=("pt",), lengths=(("deta", "dphi"),))
LABEL = {"label": ClassifyConfig(target="jet.label", classes=("QCD", "top"))}


def inputs(graph: Padded, batch: Batch, fill: float = 0.0) -> list[torch.Tensor]:
    """A batch as the padded form takes it; of no rows there is still room for one."""
    out = []
    for name, paths in graph.inputs.items():
        rows = batch.select(paths).collections[name]
        columns = torch.stack([batch.field(p).values for p in paths], 1)
        x, _ = rows.with_values(columns).padded(fill)
        out += [x if x.shape[1] else x.new_full((len(batch), 1, len(paths)), fill), rows.lengths]
    return out


def models(jets: Batch) -> dict[str, Model]:
    body = DeepSetsConfig(each=(16, 16), whole=(16, 16))
    of_sets = ModelConfig(backbone=body, tokenizers={"particle": SEEN}, heads=LABEL)
    return {
        "pairs": build(replace(CONFIG, heads=ANSWERING), jets).eval(),
        "plain": build(replace(CONFIG, heads=LABEL, pairs=None, tokenizers={"particle": SEEN}), jets).eval(),
        "edges": build(EDGES, jets).eval(),
        "deep sets": build(of_sets, jets).eval(),
        "particle transformer": transformer.build(jets).eval(),
    }


@pytest.mark.parametrize("name", ["pairs", "plain", "edges", "deep sets", "particle transformer"])
@pytest.mark.parametrize("fill", [0.0, float("nan"), 1e6])
def test_the_same_answers_whatever_lies_at_padding(name: str, fill: float, toy_jets: Jets) -> None:
    jets = toy_jets(64)
    model = models(jets)[name]
    batch = transformer.of_lengths(jets, [5, 0, 1, 40, 2])
    graph = Padded(model)
    wanted = model.predict(batch, graph.heads)
    with torch.no_grad():
        found = graph(*inputs(graph, batch, fill))
    for head, answer in zip(graph.heads, found, strict=True):
        torch.testing.assert_close(answer, wanted[head], rtol=1e-5, atol=2e-6)


def test_several_collections_of_which_some_are_absent() -> None:
    tracks = simulate(40, seed=1)
    model = build(multi(size=1).model, tracks).eval()
    graph = Padded(model)
    with torch.no_grad():
        (found,) = graph(*inputs(graph, tracks))
    torch.testing.assert_close(found, model.predict(tracks)["species"], rtol=1e-5, atol=2e-6)


def test_what_has_no_padded_form_is_refused(toy_jets: Jets) -> None:
    jets = toy_jets(8)
    coded = BinnedConfig(collection="particle", fields=kinematics(), bins=(4, 4, 4))
    with pytest.raises(ValueError, match="seen as codes"):
        Padded(build(replace(CONFIG, heads=LABEL, tokenizers={"particle": coded}), jets))
    with pytest.raises(ValueError, match="no head that answers"):
        Padded(build(replace(CONFIG, heads={"next": CONFIG.heads["next"]}), jets))
    config = ModelConfig(backbone=ParticleNetConfig().tiny(), tokenizers={"particle": SEEN}, heads=LABEL)
    graph = Padded(build(config, jets).eval())
    with pytest.raises(ValueError, match="ParticleNet has no form for padded events"):
        graph(*inputs(graph, jets))

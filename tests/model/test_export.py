"""ONNX: the graph gives the answers of `lpm predict`, for any number of events and rows, and says what it takes."""

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import jaxtyping
import pytest
import torch

from lpm.data.batch import Batch
from lpm.model import checkpoint
from lpm.model.export import export
from lpm.model.model import Model
from lpm.model.padded import Padded
from tests.model.sets import test_particle_transformer as transformer
from tests.model.test_model import CONFIG, build
from tests.model.test_padded import inputs, models

onnxruntime = pytest.importorskip("onnxruntime", reason="needs the onnx extra")
pytest.importorskip("onnxscript", reason="needs the onnx extra")

Jets = Callable[..., Batch]


@pytest.fixture(autouse=True)
def unchecked() -> Iterator[None]:
    """Comparing free dimensions, as the checks of shapes under test do, would fix them."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def answers(run: onnxruntime.InferenceSession, graph: Padded, batch: Batch) -> dict[str, torch.Tensor]:
    names = [i.name for i in run.get_inputs()]
    fed = dict(zip(names, (t.numpy() for t in inputs(graph, batch)), strict=True))
    return {n: torch.from_numpy(x) for n, x in zip(graph.heads, run.run(list(graph.heads), fed), strict=True)}


def exported(model: Model, folder: Path) -> onnxruntime.InferenceSession:
    checkpoint.save(model, folder, "card")
    export(folder, folder / "model.onnx")
    return session(folder / "model.onnx")


def apart(model: Model, run: onnxruntime.InferenceSession, jets: Batch) -> float:
    """Largest difference between answers, over events of no, one, few and many rows."""
    graph, largest = Padded(model), 0.0
    for lengths in ([0], [1], [2], [50], [128], [3, 0, 17]):
        batch = transformer.of_lengths(jets, lengths)
        wanted, found = model.predict(batch, graph.heads), answers(run, graph, batch)
        for head in graph.heads:
            largest = max(largest, float(((found[head] - wanted[head]) / wanted[head].clamp_min(1)).abs().max()))
    return largest


def test_the_plain_body_answers_alike_and_says_what_it_takes(toy_jets: Jets, tmp_path: Path) -> None:
    jets = toy_jets(64)
    heads = {n: CONFIG.heads[n] for n in ("label", "pt")}
    model = build(replace(CONFIG, heads=heads, backbone=replace(CONFIG.backbone, depth=1)), jets).eval()
    run = exported(model, tmp_path)
    assert apart(model, run, jets) < 1e-5
    said = run.get_modelmeta().custom_metadata_map
    assert [f["name"] for f in json.loads(said["inputs"])["particle"]] == ["pt", "deta", "dphi"]
    assert json.loads(said["inputs"])["particle"][0]["unit"] == "GeV"
    assert json.loads(said["outputs"])["label"]["classes"] == ["QCD", "top"]
    assert json.loads(said["outputs"])["pt"]["unit"] == "GeV"
    assert len(said["weights_sha256"]) == 64
    shapes = {i.name: i.shape for i in run.get_inputs()}
    assert shapes == {"particle": ["events", "particle_rows", 3], "particle_length": ["events"]}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pairs", "plain", "edges", "deep sets"])
def test_other_models_answer_alike(name: str, toy_jets: Jets, tmp_path: Path) -> None:
    jets = toy_jets(64)
    model = models(jets)[name]
    assert apart(model, exported(model, tmp_path), jets) < 1e-5


@pytest.mark.slow
def test_the_particle_transformer_answers_as_well_as_single_precision_can(toy_jets: Jets, tmp_path: Path) -> None:
    """Squared masses of particles that are nearly collinear are rounding noise, see `lpm.model.sets.interactions`."""
    jets = toy_jets(64)
    model = models(jets)["particle transformer"]
    graph, exact, noise = Padded(model), Padded(deepcopy(model).double()), 0.0
    for lengths in ([1], [2], [50], [128], [3, 0, 17]):
        given = inputs(graph, transformer.of_lengths(jets, lengths))
        with torch.no_grad():
            right = exact(*(x.double() if x.is_floating_point() else x for x in given))
            noise = max(noise, *(float((a - b).abs().max()) for a, b in zip(graph(*given), right, strict=True)))
    assert apart(model, exported(model, tmp_path), jets) < 3 * noise + 1e-5


def test_a_model_that_cannot_leaves_the_old_file(toy_jets: Jets, tmp_path: Path) -> None:
    jets = toy_jets(16)
    checkpoint.save(build(replace(CONFIG, heads={"next": CONFIG.heads["next"]}), jets), tmp_path, "card")
    (tmp_path / "model.onnx").write_text("precious")
    with pytest.raises(ValueError, match="no head that answers"):
        export(tmp_path, tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").read_text() == "precious"

"""`lpm predict`: the events with their scores, in ROOT and Parquet alike, in the order of the input; friend trees."""

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from lpm.cli.main import app
from lpm.data.batch import Batch
from lpm.data.io import open_file

pytest.importorskip("uproot", reason="needs the root extra")


def read(path: Path | str, stop: int | None = None) -> Batch:
    with open_file(path) as reader:
        return Batch.cat(list(reader.batches(stop=stop)))


@pytest.fixture(scope="module")
def jets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some jets of the sample, as a shard."""
    from lpm.data.io import write_batches

    batch, path = read("sample:jets", 60), tmp_path_factory.mktemp("jets") / "jets.parquet"
    write_batches(path, [batch], schema=batch.schema)
    return path


def run(*words: str | Path) -> str:
    result = CliRunner().invoke(app, [*map(str, words)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_root_and_parquet_hold_the_same(jets: Path, tmp_path: Path) -> None:
    for name in ("out.root", "out.parquet"):
        assert "wrote 60 events" in run("predict", "jets-top", jets, tmp_path / name, "--batch", "16", "--quiet")
    tree, shard, source = read(tmp_path / "out.root"), read(tmp_path / "out.parquet"), read(jets)
    assert tree.schema == shard.schema
    for path in source.schema.paths:  # truth among them
        torch.testing.assert_close(tree.field(path).values, source.field(path).values, equal_nan=True, rtol=0, atol=0)
    assert torch.equal(tree.field("jet.score").values, shard.field("jet.score").values)
    assert "60 jets" in run("inspect", tmp_path / "out.root")


def test_a_friend_tree_has_the_scores_alone(jets: Path, tmp_path: Path) -> None:
    run("predict", "jets-top", jets, tmp_path / "whole.root", "--quiet")
    run("predict", "jets-top", tmp_path / "whole.root", tmp_path / "friend.root", "--friend", "--quiet")
    friend = read(tmp_path / "friend.root")
    assert friend.schema.paths == ("jet.score",)
    assert torch.equal(friend.field("jet.score").values, read(tmp_path / "whole.root").field("jet.score").values)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--friend", "--on-bad", "skip"], "--friend: needs an answer for every entry"),
        (["--on-bad", "keep-some"], "--on-bad: expected stop or skip"),
    ],
)
def test_what_cannot_be_is_refused(jets: Path, tmp_path: Path, words: list[str], message: str) -> None:
    out = tmp_path / "out.root"
    out.write_text("precious")
    result = CliRunner().invoke(app, ["predict", "jets-top", str(jets), str(out), *words])
    assert isinstance(result.exception, ValueError)
    assert message in str(result.exception)
    assert out.read_text() == "precious"


@pytest.mark.parametrize("friend", [False, True])
def test_scores_do_not_take_the_place_of_their_events(jets: Path, friend: bool, tmp_path: Path) -> None:
    path = tmp_path / "jets.parquet"
    path.write_bytes(jets.read_bytes())
    words = ["jets-top", path, path.parent / ".." / tmp_path.name / path.name, *(["--friend"] if friend else [])]
    with pytest.raises(ValueError, match="holds the events themselves"):
        run("predict", *words)
    assert path.read_bytes() == jets.read_bytes()


def test_jets_of_collisions_are_no_entries_of_a_tree(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "jets" / "pfnano_MC_10ev.root"
    result = CliRunner().invoke(app, ["predict", "jets-top", str(source), str(tmp_path / "x.root"), "--friend"])
    assert "leave out --friend" in str(result.exception)

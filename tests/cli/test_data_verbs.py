"""lpm convert, inspect and fetch as a user types them."""

import json
import re

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from lpm.cli.convert import convert
from lpm.cli.fetch import fetch
from lpm.cli.inspect import inspect


@pytest.fixture
def lpm():
    app = typer.Typer(pretty_exceptions_enable=False)
    for verb in (convert, inspect, fetch):
        app.command()(verb)

    def run(*words, fails: str = "") -> str:
        result = CliRunner().invoke(app, [str(w) for w in words])
        if fails:
            assert isinstance(result.exception, ValueError), result.output
            assert re.search(fails, str(result.exception)), str(result.exception)
            assert "\n" not in str(result.exception)
        else:
            assert result.exit_code == 0, result.output
        return result.output

    return run


@pytest.fixture
def jets(tmp_path):
    path = tmp_path / "jets.npz"
    g = np.random.default_rng(0)
    p = g.uniform(1, 50, (60, 3))
    p4 = np.concatenate([p, np.linalg.norm(p, axis=1, keepdims=True)], 1)
    np.savez(path, px_py_pz_e=p4, offsets=np.arange(0, 61, 3), label=np.arange(20) % 2)
    return path


def test_convert_then_inspect(lpm, jets, tmp_path):
    out = tmp_path / "out"
    assert lpm("convert", jets, out, "--shard-events", 8) == f"wrote 20 events to {out} (3 shards)\n"
    assert "3 of them finished before" in lpm("convert", jets, out, "--shard-events", 8)
    text = lpm("inspect", out)
    for part in (
        "lpm, 3 files, 20 jets",
        "particle: 60 rows, 3 to 3 an event",
        "jet.mass",
        "GeV",
        "background 10, signal 10",
    ):
        assert part in text
    made = json.loads(lpm("inspect", out, "--json"))
    assert (made["events"], made["entries"], made["files"], made["problems"]) == (20, 20, 3, {})
    assert made["schema"]["name"] == "jets"
    assert made["fields"]["jet.label"]["categories"] == {"background": 10, "signal": 10}
    assert json.loads(lpm("inspect", out, "--json", "--events", 9))["events"] == 9


def test_convert_json(lpm, jets, tmp_path):
    made = json.loads(lpm("convert", jets, tmp_path / "x.parquet", "--json", "--events", 5))
    assert (made["events"], made["skipped_events"], made["skipped_files"]) == (5, 0, {})


def test_bad_events_are_shown_and_counted(lpm, tmp_path):
    path = tmp_path / "bad.npz"
    p4 = np.array([[1.0, 0, 0, 1], [1, 0, 0, -1], [np.nan, 0, 0, 1]])
    np.savez(path, px_py_pz_e=p4, offsets=np.arange(4))
    assert "2 events cannot be used" in lpm("inspect", path)
    lpm(
        "convert",
        path,
        tmp_path / "x.parquet",
        fails=r"bad\.npz: entry 1: particle\.energy\[0\] is -1 GeV.*--on-bad skip",
    )
    text = lpm("convert", path, tmp_path / "x.parquet", "--on-bad", "skip")
    assert "wrote 1 events" in text
    assert "left out 2 events" in text
    cut = tmp_path / "cut.npz"
    cut.write_bytes(path.read_bytes()[:50])
    text = lpm("convert", path, cut, tmp_path / "y.parquet", "--on-bad", "skip")
    assert f"left out: {cut}: unreadable npz" in text


def test_a_shard_with_problems(lpm, jets, tmp_path):
    import pyarrow.parquet as pq

    path = tmp_path / "x.parquet"
    lpm("convert", jets, path)
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, b"lpm.format": b"9"}), path)
    assert "lpm.format is 9, expected 1" in lpm("inspect", path)
    assert json.loads(lpm("inspect", path, "--json"))["problems"] == {
        str(path): ["metadata: lpm.format is 9, expected 1"]
    }


def test_wrong_use(lpm, jets, tmp_path):
    lpm("convert", jets, fails=r"expected SRC… OUT")
    lpm("inspect", tmp_path / "nope", fails="no such file")
    lpm("inspect", jets, "--events", 0, fails="--events: expected at least 1")
    lpm("inspect", jets, "--format", "jetclass", fails="format jetclass is a kind of ROOT, but this is zip")
    lpm("convert", jets, jets.parent, "x", "--format", "nope", fails="expected one of auto")
    (jets.parent / "other.csv").write_text("pt1,eta1,phi1\n1,2,3\n")
    lpm("inspect", jets.parent, fails=r"other\.csv: other fields or labels than .*jets\.npz")
    lpm("fetch", "nope", fails="no data set 'nope'")


def test_catalogue(lpm):
    text = lpm("fetch", "--list")
    assert all(
        name in text for name in ("jetclass", "top-landscape", "quark-gluon", "jetnet", "aspen-open-jets", "CC-BY-4.0")
    )
    assert "no published checksum" in lpm("fetch", "jetnet", "--list")
    assert len(json.loads(lpm("fetch", "--list", "--json"))) == 9


def test_verbs_do_not_load_torch_before_they_run():
    import subprocess
    import sys

    code = "import sys, lpm.cli.convert, lpm.cli.inspect, lpm.cli.fetch; print({'torch', 'uproot'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_samples_go_by_name(lpm, tmp_path):
    assert json.loads(lpm("inspect", "sample:jets", "--events", "50", "--json"))["events"] == 50
    out = tmp_path / "some.parquet"
    assert lpm("convert", "sample:jets", out, "--events", "30") == f"wrote 30 events to {out} (1 shard)\n"
    lpm("inspect", "sample:tops", fails="no such sample")


def test_failures_are_told_one_by_one_or_as_json(jets, tmp_path):
    cut = tmp_path / "cut.npz"
    cut.write_bytes(jets.read_bytes()[:50])
    app = typer.Typer()
    app.command()(convert)
    words = [str(cut), str(jets), str(tmp_path / "out")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 1
    assert f"failed: {cut}: unreadable npz" in done.stderr
    done = CliRunner().invoke(app, [*words, "--json"])
    assert done.exit_code == 1
    told = json.loads(done.stdout)
    assert (told["events"], told["resumed"]) == (20, 1)
    assert [f["name"] for f in told["failed"]] == [str(cut)]


def test_dry_run_says_what_is_made_and_writes_nothing(lpm, jets, tmp_path):
    out = tmp_path / "out"
    text = lpm("convert", jets, out, "--shard-events", 8, "--dry-run")
    assert text.splitlines()[0] == "3 pieces: 0 made, 3 to make"
    assert "would run on local: 1 worker, at most 2 pieces at a time" in text
    assert not out.exists()
    lpm("convert", jets, out, "--shard-events", 8)
    made = json.loads(lpm("convert", jets, out, "--shard-events", 8, "--dry-run", "--json"))
    assert (made["pieces"], made["done"], made["missing"]) == (3, 3, [])
    lpm("convert", jets, tmp_path / "x.parquet", "--workers", 2, fails="one file is written by one process")

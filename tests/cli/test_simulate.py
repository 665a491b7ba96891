"""`lpm simulate` on the command line: what it prints, and bad input."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from lpm.cli.simulate import simulate

app = typer.Typer()
app.command()(simulate)


def run(*arguments: str) -> tuple[int, str, BaseException | None]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout, result.exception


def test_makes_jets_and_prints_the_manifest(tmp_path: Path) -> None:
    pytest.importorskip("pythia8mc", reason="needs the sim extra")
    out = tmp_path / "jets.parquet"
    code, text, _ = run("jets", str(out), "-n", "3", "--classes", "Hbb", "--seed", "3", "--json")
    assert code == 0
    manifest = json.loads(text)
    assert manifest["request"]["classes"] == ["Hbb"]
    assert manifest["out"] == str(out)
    assert out.is_file()


def test_makes_scrambled_sums(tmp_path: Path) -> None:
    pytest.importorskip("flint", reason="needs the theory extra")
    code, text, _ = run("scrambles", str(tmp_path / "sums"), "-n", "2", "--preset", "dilog", "--seed", "3", "--json")
    assert code == 0
    said = json.loads(text)
    assert (said["sums"], said["domain"]) == (2, "dilog")
    assert list((tmp_path / "sums").glob("*.parquet"))
    _, _, error = run("scrambles", str(tmp_path / "other"), "-n", "2", "--preset", "trianglebox")
    assert str(error) == "unknown domain 'trianglebox'; there are: spinor, dilog"


def test_makes_tracks(tmp_path: Path) -> None:
    out = tmp_path / "tracks.parquet"
    code, text, _ = run("pid", str(out), "-n", "300", "--seed", "3")
    assert code == 0
    assert text.rstrip().endswith("300 tracks of e, mu, pi, K, p")
    assert json.loads(run("pid", str(tmp_path / "tracks"), "-n", "300", "--json")[1])["request"]["n"] == 300
    assert (tmp_path / "tracks" / "part-00000.parquet").is_file()


def test_makes_showers(tmp_path: Path) -> None:
    out = str(tmp_path / "showers.hdf5")
    code, text, _ = run("calorimeter", out, "--dataset", "2", "-n", "3", "--seed", "1")
    assert code == 0
    assert "3 showers, parametrised: Electrons" in text
    manifest = json.loads(run("calorimeter", str(tmp_path / "b.hdf5"), "-n", "3", "--json")[1])
    assert manifest["request"]["card"]["dataset"] == "1-photons"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("showers", "x", "-n", "1"), "unknown task 'showers'; there are: jets, events, pid"),
        (("jets", "x", "-n", "0"), "at least 1"),
        (("jets", "x", "-n", "1", "--classes", "Hxx"), "expected different ones"),
        (("jets", "x", "-n", "1", "--pt", "9", "3"), "MIN < MAX"),
        (("jets", "x", "-n", "1", "--detector", "x"), "no detector card"),
        (("jets", "x", "-n", "1", "--preset", "four-tops"), "makes events: lpm simulate events x"),
        (("events", "x", "-n", "1", "--preset", "jetclass"), "makes jets: lpm simulate jets x"),
        (("events", "x", "-n", "1", "--compact"), "compact: is for presets of single jets"),
        (
            ("pid", "x", "-n", "1", "--compact"),
            "pid: leave --compact out; it takes --seed, --json, --preset and --resume",
        ),
        (("pid", "x", "-n", "0"), "at least 1 track"),
        (("pid", "x", "-n", "1", "--dataset", "2"), "pid: leave --dataset out"),
        (("calorimeter", "x.hdf5", "-n", "0"), "at least 1 shower"),
        (("calorimeter", "x.parquet", "-n", "1"), "ends in .hdf5"),
        (("calorimeter", "x.hdf5", "-n", "1", "--dataset", "7"), "no calorimeter card '7'"),
        (
            ("calorimeter", "x.hdf5", "-n", "1", "--compact"),
            "calorimeter: leave --compact out; it takes --seed, --json, --dataset and --engine",
        ),
        (("reductions", "x", "-n", "1", "--dry-run"), "reductions: leave --dry-run out"),
        (("jets", "x", "-n", "1", "--workers", "0"), "workers"),
        (("pid", "x", "-n", "1", "--preset", "atlas"), "no tracks card 'atlas'"),
        (("jets", "x", "-n", "1", "--preset", "jet-origin-z", "--pt", "1", "2"), "pt: is for presets of single jets"),
    ],
)
def test_bad_input_is_one_line(arguments: tuple[str, ...], message: str) -> None:
    code, _, error = run(*arguments)
    assert code == 1
    assert isinstance(error, ValueError)
    assert message in str(error)
    assert "\n" not in str(error)


def test_a_number_is_required() -> None:
    assert run("jets", "x")[0] == 2


@pytest.mark.parametrize(("out", "folder"), [("x", "x"), ("x.parquet", "x.parquet.parts")])
def test_a_dry_run_shows_the_folder_that_would_be_used(out: str, folder: str, tmp_path: Path) -> None:
    pytest.importorskip("dask_jobqueue", reason="needs the cluster extra")
    pytest.importorskip("pythia8mc", reason="needs the sim extra")
    _, said, _ = run("jets", str(tmp_path / out), "-n", "4", "--on", "slurm", "--dry-run")
    assert f"#SBATCH -o {tmp_path / folder}/.farm/worker-%j.log\n" in said


def test_the_documentation_shows_what_a_cluster_would_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("dask_jobqueue", reason="needs the cluster extra")
    page = (Path(__file__).parents[2] / "docs" / "launch.md").read_text(encoding="utf-8")
    [(command, output)] = re.findall(r"```console\n\$ lpm simulate ([^\n]* --dry-run)\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    code, said, _ = run(*shlex.split(command))
    assert code == 0
    assert said.replace(sys.executable, "/home/me/lpm/bin/python").replace(str(tmp_path), "/home/me") == output
    assert not list(tmp_path.iterdir())

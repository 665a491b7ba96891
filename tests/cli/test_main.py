"""The command line as a user meets it: frozen verbs, quick help, one-line errors, exit codes."""

import json
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from lpm.cli.main import app, main

VERBS = [
    "quickstart",
    "inspect",
    "convert",
    "fetch",
    "simulate",
    "train",
    "generate",
    "predict",
    "evaluate",
    "report",
    "unscramble",
]
ROOT = Path(__file__).parents[2]


def lpm(*arguments: str | Path, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does."""
    command = [sys.executable, "-c", "from lpm.cli.main import main; main()", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "120"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_verbs_are_frozen() -> None:
    assert [c.callback.__name__ for c in app.registered_commands] == VERBS


def test_help_names_every_preset() -> None:
    shown = lpm("simulate", "--help").stdout
    words = set(re.findall(r"[a-z-]+", re.sub(r"[│\s]+", " ", shown)))
    presets = {p.stem for p in (ROOT / "src/lpm/sim/cards/preset").glob("*.toml")}
    assert presets - words == set()


def test_help_does_not_load_torch() -> None:
    code = "import sys\nfrom lpm.cli.main import app\nassert 'torch' not in sys.modules, 'torch'\n"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str) -> None:
    out = lpm(verb, "--help")
    assert out.returncode == 0
    assert "Usage" in out.stdout
    assert "Error" not in out.stdout, "what may be raised is for readers of the source"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["fly"], 2, "No such command"),
        (["train"], 2, "Missing argument"),
        (["train", "jets.fly", "--out", "x"], 1, "unknown recipe 'jets.fly'; there are: jets.base"),
        (["train", "jets.top", "--out", "x", "--set", "train.step=1"], 1, "no such field"),
        (["train", "jets.top", "--out", "x", "--resume"], 1, "cannot read the recipe"),
        (["generate", "nowhere", "x.parquet"], 1, "expected a run folder or one of the shipped models"),
        (["generate", "jets-top", "x.parquet"], 1, "cannot generate"),
        (["predict", "jets-top", "nothing.root", "x.parquet"], 1, "nothing.root"),
        (["predict", "jets-top", "sample:tops", "x.parquet"], 1, "no such sample"),
        (["evaluate", "jets.fly", "x.parquet"], 1, "unknown task 'jets.fly'"),
        (["generate", "jets-base", "x.parquet", "--device", "tpu"], 1, "device 'tpu': expected cpu, cuda or auto"),
        (["generate", "jets-base", "x.txt", "-n", "1"], 1, "x.txt: expected a name that ends in .parquet"),
        (["convert", "sample:jets", "x.root"], 1, "x.root: expected a folder, or a name that ends in .parquet or .h5"),
        (["simulate", "jets", "x.h5", "-n", "1"], 1, "x.h5: expected a folder, or a name that ends in .parquet"),
    ],
)
def test_errors_are_one_line(arguments: list[str], code: int, message: str, tmp_path: Path) -> None:
    out = lpm(*arguments, folder=tmp_path)
    assert out.returncode == code, out.stderr
    assert message in re.sub(r"\s+", " ", out.stderr)
    assert "Traceback" not in out.stderr
    if code == 1:
        assert len(out.stderr.strip().splitlines()) == 1, out.stderr
    assert not (tmp_path / "x.parquet").exists()


def test_a_package_that_is_missing_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def verb() -> None:
        raise ModuleNotFoundError("No module named 'flint'", name="flint")

    monkeypatch.setattr("lpm.cli.main.app", verb)
    with pytest.raises(SystemExit) as leaving:
        main()
    assert leaving.value.code == 1
    assert capsys.readouterr().err == "lpm: this needs the package flint: pip install 'lpm[theory]'\n"


def test_ctrl_c_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    interrupted = typer.Typer()

    @interrupted.command()
    def verb() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lpm.cli.main.app", interrupted)
    monkeypatch.setattr("sys.argv", ["lpm"])
    with pytest.raises(SystemExit) as leaving:
        main()
    assert leaving.value.code == 130
    assert "--resume goes on" in capsys.readouterr().err


def test_a_pickle_posing_as_a_checkpoint_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "model.pt").open("wb") as file:
        pickle.dump({"a": 1}, file)
    out = lpm("generate", "model.pt", "x.parquet", folder=tmp_path)
    assert out.returncode == 1
    assert "pickled checkpoints are never loaded" in out.stderr


def test_predict_evaluate_and_generate_with_shipped_models(tmp_path: Path) -> None:
    """The commands of the front page, on the sample that ships."""
    made = lpm("generate", "jets-base", "made.parquet", "-n", "60", "--classes", "QCD,Tbqq", "--quiet", folder=tmp_path)
    assert made.returncode == 0, made.stderr
    scored = lpm("predict", "jets-top", "made.parquet", "scored.parquet", "--quiet", folder=tmp_path)
    assert scored.returncode == 0, scored.stderr
    shown = lpm("evaluate", "jets.top", "scored.parquet", "--json", folder=tmp_path)
    assert shown.returncode == 0, shown.stderr
    auc = json.loads(shown.stdout)["auc"]
    assert auc["low"] <= auc["value"] <= auc["high"]
    assert auc["value"] > 0.7, "generated tops should look like tops to the shipped tagger"


def test_the_public_top_sample(shared_data: Path, tmp_path: Path) -> None:
    """The shipped tagger was never trained on these jets; it must tell their tops from QCD."""
    source = shared_data / "jets" / "top_landscape_1000.npz"
    out = lpm("predict", "jets-top", source, "scored.parquet", "--quiet", folder=tmp_path)
    assert out.returncode == 0, out.stderr
    shown = lpm("evaluate", "jets.top", "scored.parquet", "--json", folder=tmp_path)
    assert json.loads(shown.stdout)["auc"]["value"] >= 0.97


@pytest.mark.slow
def test_quickstart_runs_whole(tmp_path: Path) -> None:
    out = lpm("quickstart", "--out", "story", "--quick", "--quiet", folder=tmp_path)
    assert out.returncode == 0, out.stderr
    assert (tmp_path / "story" / "report.html").stat().st_size > 50_000
    again = lpm("quickstart", "--out", "story", "--quick", "--quiet", folder=tmp_path)
    assert again.returncode == 1
    assert "holds an earlier quick start" in again.stderr


def test_python_example_of_the_readme() -> None:
    """The example runs as it stands."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert code
    command = [sys.executable, "-W", "error", "-c", code.group(1)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

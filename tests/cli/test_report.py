"""`lpm report` writes one page and says where."""

import typer
from typer.testing import CliRunner

from lpm.cli.report import report
from lpm.records.run import Run


def run(*arguments):
    app = typer.Typer()
    app.command()(report)
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_page_of_a_run(tmp_path):
    folder = tmp_path / "first"
    record = Run(folder)
    record.write("start", recipe={"name": "tiny"}, seed=3)
    record.write("histogram", name="jet.mass", unit="GeV", edges=[0, 1, 2], series={"truth": [3, 4]})
    out = tmp_path / "page.html"
    result = run(folder, "--out", out, "--title", "A first look")
    assert result.exit_code == 0
    assert "page.html" in result.stdout
    assert "<h1>A first look</h1>" in out.read_text()
    assert "jet mass [GeV]" in out.read_text()


def test_folder_without_record_fails_and_leaves_no_page(tmp_path):
    out = tmp_path / "page.html"
    result = run(tmp_path, "--out", out)
    assert result.exit_code == 1
    assert "run.jsonl" in str(result.exception)
    assert not out.exists()


def test_answers_are_explained_on_events(tmp_path):
    from lpm.model.checkpoint import resolve

    out = tmp_path / "page.html"
    result = run(resolve("jets-top"), "--data", "sample:jets", "--events", 4, "--out", out)
    assert result.exit_code == 0, result.exception
    text = out.read_text()
    assert "label, 4 events. Baseline" in text
    assert "rows of particle removed" in text
    result = run(resolve("jets-top"), "--data", "sample:jets", "--head", "nothing", "--out", tmp_path / "none.html")
    assert "classifier 'nothing': the model has label" in str(result.exception)
    assert not (tmp_path / "none.html").exists()

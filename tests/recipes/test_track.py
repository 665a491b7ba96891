"""Copies of the record in TensorBoard and MLflow hold the numbers of the run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lpm.recipes.track import also

STEP = {"step": 3, "loss": {"next": 1.5}, "lr": 0.25, "eta_s": 1.0}


def test_every_event_goes_on(tmp_path: Path) -> None:
    seen: list[str] = []
    with also(tmp_path, lambda event, **_: seen.append(event)) as record:
        record("start")
        record("step", **STEP)
    assert seen == ["start", "step"]
    assert not list(tmp_path.iterdir())


# In processes of their own: both packages warn on import, and set global state.
RUN = """
import sys
from pathlib import Path
from lpm.recipes.track import also
with also(Path(sys.argv[2]), lambda *_, **__: None, **{sys.argv[1]: True}) as record:
    record("start", seed=1)
    record("step", step=3, loss={"next": 1.5}, lr=0.25, eta_s=1.0)
    record("valid", step=3, loss={"next": 1.25}, total=1.25)
"""


def track(tracker: str, folder: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
    subprocess.run([sys.executable, "-c", RUN, tracker, str(folder)], env=environment, check=True)


def test_mlflow_keeps_losses_and_rates(tmp_path: Path) -> None:
    pytest.importorskip("mlflow", exc_type=ImportError)
    folder = tmp_path / "new"
    track("mlflow", folder)
    found = {p.name if p.parent.name == "metrics" else f"{p.parent.name}/{p.name}": p.read_text().split()
             for p in folder.rglob("metrics/**/*") if p.is_file()}  # fmt: skip
    assert {name: float(words[1]) for name, words in found.items()} == {
        "step/next": 1.5, "valid/next": 1.25, "rate/lr": 0.25,
    }  # fmt: skip
    assert {words[2] for words in found.values()} == {"3"}


def test_tensorboard_keeps_losses_and_rates(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    track("tensorboard", tmp_path)
    code = (
        "import sys\n"
        "from tensorboard.backend.event_processing.event_accumulator import EventAccumulator\n"
        "events = EventAccumulator(sys.argv[1]).Reload()\n"
        "for n in sorted(events.Tags()['scalars']):\n"
        "    print(n, *[(e.step, e.value) for e in events.Scalars(n)])\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "tensorboard")]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert out.splitlines() == ["rate/lr (3, 0.25)", "step/next (3, 1.5)", "valid/next (3, 1.25)"]

"""Optional copies of the run record for those who live in MLflow or TensorBoard."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from lpm.train.loop import Record

__all__ = ["also"]

RATES = ("lr", "events_per_s", "tokens_per_s", "data_wait", "tflop_per_s", "mfu")
"""What is followed beside the losses."""


@contextmanager
def also(folder: Path, tell: Record, *, mlflow: bool = False, tensorboard: bool = False) -> Iterator[Record]:
    """A record that passes every event to `tell`, and its losses and rates to the trackers asked for.

    Args:
        folder: TensorBoard writes to its `tensorboard`, MLflow to its `mlflow` unless `MLFLOW_TRACKING_URI` is set.
        tell: Where events go anyway.
        mlflow: Copy to MLflow.
        tensorboard: Copy to TensorBoard.

    Raises:
        ValueError: If a tracker is not installed.
    """
    with ExitStack() as stack:
        sinks = []
        try:
            if mlflow:
                sinks.append(stack.enter_context(_mlflow(folder)))
            if tensorboard:
                sinks.append(stack.enter_context(_tensorboard(folder)))
        except ImportError as error:
            raise ValueError(f"{error.name} is not installed: pip install 'lpm[track]'") from error

        def record(event: str, **content: Any) -> None:
            tell(event, **content)
            for sink in sinks:
                sink(event, **content)

        yield record


def _numbers(event: str, content: dict[str, Any]) -> dict[str, float]:
    """Losses as `step/label`, and rates, of an event that has a step."""
    out = {f"{event}/{n}": float(v) for n, v in content.get("loss", {}).items()}
    out |= {f"rate/{n}": float(content[n]) for n in RATES if n in content}
    return out


@contextmanager
def _mlflow(folder: Path) -> Iterator[Record]:
    import os

    import mlflow

    if "MLFLOW_TRACKING_URI" not in os.environ:
        # Plain files: a data base would need packages that the small client does not bring.
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        mlflow.set_tracking_uri((folder / "mlflow").absolute().as_uri())
    mlflow.set_experiment("lpm")
    with mlflow.start_run(run_name=folder.name):

        def sink(event: str, **content: Any) -> None:
            if "step" in content and event in ("step", "valid"):
                mlflow.log_metrics(_numbers(event, content), step=content["step"])

        yield sink


@contextmanager
def _tensorboard(folder: Path) -> Iterator[Record]:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder / "tensorboard")) as writer:

        def sink(event: str, **content: Any) -> None:
            if "step" in content and event in ("step", "valid"):
                for name, value in _numbers(event, content).items():
                    writer.add_scalar(name, value, content["step"])

        yield sink

"""An option of a launcher changes what is run, or is refused by name."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lpm.train.launch import LAUNCHERS, Job, LaunchConfig, check
from lpm.train.launch.options import USED_BY

JOB = Job(Path("/runs/top"), ("-m", "lpm.cli", "train", "jets.top", "--out", "/runs/top"))
OPTIONS = {"nodes": 2, "ranks": 4, "gpus": 3, "cpus": 2, "memory": "4G", "time": "01:00:00", "partition": "short",
           "account": "atlas", "lead": 60, "extra": ("x",), "rendezvous": "n1:29400"}  # fmt: skip
BESIDE = {("lead", "slurm"): {"time": "01:00:00"}, ("rendezvous", "torchrun"): {"nodes": 2},
          ("nodes", "torchrun"): {"rendezvous": "n1:29400"}}  # fmt: skip
"""Options that make sense with another one only."""


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("kind", LAUNCHERS)
def test_an_option_changes_what_is_run_or_is_refused(kind: Any, name: str) -> None:
    if kind not in USED_BY[name]:
        with pytest.raises(ValueError, match=rf"^--{name} belongs to --launch .*; got --launch {kind}$"):
            check(LaunchConfig(kind=kind, **{name: OPTIONS[name]}))
        return
    beside: dict[str, Any] = BESIDE.get((name, kind), {})
    config = LaunchConfig(kind=kind, python="python", **beside, **{name: OPTIONS[name]})
    check(config)
    without = replace(config, **{name: "n0:29400" if name == "rendezvous" else getattr(LaunchConfig, name)})
    assert LAUNCHERS[kind]([JOB], config) != LAUNCHERS[kind]([JOB], without)


@pytest.mark.parametrize(
    ("options", "device", "said"),
    [
        ({"kind": "local", "ranks": 4}, "auto", "--ranks belongs to --launch torchrun, slurm or htcondor; got"),
        ({"kind": "torchrun", "time": "01:00:00"}, "auto", "--time belongs to --launch slurm or htcondor; got"),
        ({"kind": "slurm", "rendezvous": "n1:1"}, "auto", "--rendezvous belongs to --launch torchrun; got"),
        ({"kind": "torchrun", "rendezvous": "n1:1"}, "auto", "several machines meet; got --nodes 1"),
        ({"kind": "slurm", "lead": 60}, "auto", "got no --time"),
        ({"kind": "torchrun", "ranks": 2}, "cuda:1", "use --device cuda, each takes its own"),
        ({"kind": "slurm", "nodes": 2}, "cuda:0", "use --device cuda, each takes its own"),
    ],
)
def test_what_would_be_passed_over_is_refused(options: dict[str, Any], device: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check(LaunchConfig(**options), device)


def test_one_process_may_choose_its_gpu() -> None:
    check(LaunchConfig(kind="torchrun", gpus=1), "cuda:1")
    check(LaunchConfig(), "cuda:1")
    check(LaunchConfig(kind="torchrun", gpus=2), "cuda")

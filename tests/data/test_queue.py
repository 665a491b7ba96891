"""What a batch system says of jobs is understood, and its silence is not taken for an answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from lpm.data.farm.queue import asked

PROGRAM = """#!/bin/bash
{body}
"""


@pytest.mark.parametrize(
    ("on", "program", "body", "expected"),
    [
        ("slurm", "squeue", 'echo "12|PENDING|Resources"; echo "13|TIMEOUT|None"', {"12": "Resources"}),
        ("slurm", "squeue", 'echo "slurm_load_jobs error: Invalid job id specified" >&2; exit 1', {}),
        ("slurm", "squeue", 'echo "Unable to contact slurm controller" >&2; exit 1', None),
        ("htcondor", "condor_q", 'echo "1||12.0"; echo "2||13.0"', {"12.0": "idle", "13.0": ""}),
        ("htcondor", "condor_q", "exit 1", None),
    ],
)
def test_answers(
    on: str,
    program: str,
    body: str,
    expected: dict[str, str] | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / program).write_text(PROGRAM.format(body=body))
    (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert asked(on, ["12", "13"]) == expected


def test_nobody_to_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert asked("slurm", ["12"]) is None
    assert asked("slurm", []) == {}

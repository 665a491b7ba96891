"""Hard events of the matrix-element generator Sherpa 3 (Bothmann et al., arXiv 2410.22148), as Les Houches files.

Sherpa comes as a package for Python 3.12 and 3.13 and runs as a program of its own. At first use it is fetched into the
cache folder of the user, and each process is integrated once; the integral is kept beside it. Then every chunk of a
sample runs the program with its own seed. Pythia showers, hadronises and decays what comes out.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lpm.sim.card_files import file_of
from lpm.sim.colour import coloured

__all__ = ["PACKAGE", "PYTHON", "environment", "hard_events", "integrated", "ready"]

PACKAGE = "sherpa-mc==3.0.3b2"

PYTHON = "LPM_PYTHON312"
"""Environment variable that names the interpreter to use."""

SEED = 20260101
"""Of the integration: so every machine unweights with the same integral."""


@contextmanager
def hard_events(card: str, count: int, seed: int) -> Iterator[Path]:
    """A Les Houches file of unweighted events, gone afterwards.

    Args:
        card: Name of a run card of Sherpa, or path of a `.yaml` file.
        count: Number of events.
        seed: Equal seeds give equal events.

    Raises:
        ValueError: If there is no such card, Sherpa cannot be had, or it fails.
    """
    ready = integrated(card)
    with tempfile.TemporaryDirectory(prefix="lpm-sherpa-") as name:
        folder = Path(name) / "run"
        shutil.copytree(ready, folder)
        _run(folder, "-e", str(count), "-R", str(seed))
        # At parton level Sherpa writes no colours, and without them Pythia cannot shower.
        whole = folder / "coloured.lhe"
        with _written(folder).open(encoding="utf-8") as bare, whole.open("w", encoding="utf-8") as out:
            out.writelines(coloured(bare, seed))
        yield whole


def integrated(card: str) -> Path:
    """Folder with the integral of a process; made at first use, which takes minutes.

    Raises:
        ValueError: As `hard_events`.
    """
    text = file_of(card, "sherpa", ".yaml").read_bytes()

    def integrate(folder: Path) -> None:
        (folder / "Sherpa.yaml").write_bytes(text)
        _run(folder, "-e", "1", "-R", str(SEED))
        _written(folder).unlink()

    return _made(_integral(card), integrate)


def _integral(card: str) -> Path:
    text = file_of(card, "sherpa", ".yaml").read_bytes()
    key = hashlib.sha256(text + PACKAGE.encode() + str(SEED).encode()).hexdigest()[:16]
    return _cache() / f"{Path(card).stem}-{key}"


def ready(card: str) -> bool:
    """Whether a process is integrated already."""
    return _integral(card).is_dir()


def environment() -> Path:
    """The program; fetched into a folder of its own at first use.

    Raises:
        ValueError: If there is no interpreter for it, or the package cannot be installed.
    """

    def install(folder: Path) -> None:
        command = [_interpreter(), "-m", "pip", "install", "--quiet", "--target", str(folder), PACKAGE]
        _call(command, f"cannot install {PACKAGE}")
        _program(folder).chmod(0o755)

    return _program(_made(_cache() / f"{PACKAGE.replace('==', '-')}-{platform.machine()}", install))


def _made(folder: Path, fill: Callable[[Path], None]) -> Path:
    """The folder, filled under another name if it is not there: whoever else does so meanwhile makes the same."""
    if not folder.is_dir():
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as name:
            new = Path(name) / "new"
            new.mkdir()
            fill(new)
            try:
                new.rename(folder)
            except OSError:
                if not folder.is_dir():
                    raise
    return folder


def _cache() -> Path:
    import pooch

    folder = Path(pooch.os_cache("lpm")) / "sherpa"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _interpreter() -> str:
    """A Python 3.12 or 3.13 that runs."""
    named = os.environ.get(PYTHON)
    managed = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob("versions/3.1[23].*/bin/python3")
    for name in [named] if named else ["python3.12", "python3.13", *map(str, sorted(managed))]:
        found = shutil.which(name)
        if found:
            asked = [found, "-c", "import sys, pip; print(*sys.version_info[:2])"]
            said = subprocess.run(asked, capture_output=True, text=True, check=False)
            if said.returncode == 0 and said.stdout.split() in (["3", "12"], ["3", "13"]):
                return found
    raise ValueError(
        f"Sherpa needs Python 3.12 or 3.13, and {named or 'none'} was found: install one and name it in {PYTHON}, "
        "or take events of another generator from .lhe files (docs/simulation.md)"
    )


def _program(folder: Path) -> Path:
    found = [p for p in folder.glob("**/bin/Sherpa") if p.is_file()]
    if not found:
        raise ValueError(f"{folder}: holds no Sherpa program; remove this folder and try again")
    return found[0]


def _run(folder: Path, *options: str) -> None:
    """Sherpa in a folder that holds its run card."""
    program = environment()
    shares = [p for p in program.parents[1].glob("**/PDF4LHC21_40_pdfas") if p.is_dir()]
    paths = {"LHAPDF_DATA_PATH": str(shares[0].parent)} if shares else {}
    _call([str(program), *options], f"Sherpa failed in {folder.name}", folder, {**os.environ, **paths})


def _call(command: list[str], failure: str, folder: Path | None = None, env: dict[str, str] | None = None) -> None:
    done = subprocess.run(
        command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
        raise ValueError(f"{failure}: {lines[-1][:300] if lines else f'exit code {done.returncode}'}")


def _written(folder: Path) -> Path:
    found = sorted(folder.glob("events*"))
    if len(found) != 1:
        raise ValueError(f"Sherpa wrote {len(found)} event files, expected one; compare EVENT_OUTPUT in its card")
    return found[0]

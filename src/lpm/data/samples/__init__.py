"""Small samples that come with lpm, so that everything can be tried without a download.

Each is a shard with the command and seed that made it in its metadata (`lpm inspect sample:jets` shows them).
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["SAMPLES", "locate"]

SAMPLES = {"jets": Path(__file__).with_name("jets.parquet")}
"""{name: file}, named on the command line and in recipes as `sample:NAME`."""


def locate(path: str | Path) -> Path:
    """The file of `sample:NAME`, or the path itself.

    Raises:
        ValueError: If there is no such sample.

    Example:
        >>> locate("sample:jets").name, locate("my.root").name
        ('jets.parquet', 'my.root')
    """
    text = str(path)
    if not text.startswith("sample:"):
        return Path(path)
    name = text.removeprefix("sample:")
    if name not in SAMPLES:
        raise ValueError(f"{text}: no such sample; there are: {', '.join(f'sample:{n}' for n in SAMPLES)}")
    return SAMPLES[name]

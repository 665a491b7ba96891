"""What lies in a folder of shards before a conversion writes there, and must be neither mixed with it nor lost to it.

Shards are named after their sources. A run that cuts a source otherwise, or that names it otherwise because another of
the same name came along, would leave the old shards beside the new ones, and events would be there twice; so would
those of a source that has become shorter since. A source that only has the name of another would replace its shards.
All this is refused before anything is written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lpm.data.farm.piece import marker
from lpm.data.io.parquet import read_provenance

__all__ = ["Origin", "check_folder"]


@dataclass(frozen=True)
class Origin:
    """Where the events of a shard come from.

    Args:
        name: File name of the source.
        sha256: Of its content.
        place: Hash of its path; empty if nobody knows it.
    """

    name: str
    sha256: str
    place: str = ""

    @classmethod
    def of(cls, shard: Path) -> Origin | None:
        """What a shard says of itself, and its marker of the place; None if it was made otherwise or cannot be read."""
        try:
            source = read_provenance(shard)["source"]
            name, sha256 = str(source["name"]), str(source["sha256"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        try:
            place = str(json.loads(marker(shard).read_text(encoding="utf-8"))["note"]["place"])
        except (OSError, ValueError, KeyError, TypeError):
            place = ""
        return cls(name, sha256, place)


def check_folder(out: Path, coming: Mapping[Path, Origin]) -> None:
    """See that shards to come neither stand beside others of the same events nor replace those of another source.

    Args:
        out: The folder; it need not exist.
        coming: The shards that will be there, and where their events come from.

    Raises:
        ValueError: If they do, with what lies there.
    """
    sources, places = ({getattr(origin, n) for origin in coming.values()} for n in ("sha256", "place"))
    stale: dict[str, list[str]] = {}
    for shard in sorted(out.glob("*.parquet")):
        held = Origin.of(shard)
        if held is None:
            continue
        if shard in coming:
            new = coming[shard]
            if held.sha256 != new.sha256 and held.place and held.place != new.place:
                raise ValueError(
                    f"{shard}: holds events of another file of the name {held.name}; write to another folder"
                )
        elif held.sha256 in sources or (held.place and held.place in places):
            stale.setdefault(held.name, []).append(shard.name)
    for name, shards in stale.items():
        shown = shards[0] if len(shards) == 1 else f"{shards[0]} and {len(shards) - 1} more"
        raise ValueError(
            f"{out}: {shown} from an earlier run hold events of {name} that would stand beside those of this run; "
            "remove these shards, convert as before, or write to another folder"
        )

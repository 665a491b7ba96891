"""Which options belong to which launcher: one that would be passed over without a word is refused."""

from __future__ import annotations

from dataclasses import fields

from lpm.train.launch.command import Kind, LaunchConfig

__all__ = ["check"]

CLUSTERS: tuple[Kind, ...] = ("slurm", "htcondor")
SEVERAL: tuple[Kind, ...] = ("torchrun", *CLUSTERS)

USED_BY: dict[str, tuple[Kind, ...]] = {
    "nodes": ("torchrun", "slurm"),
    "ranks": SEVERAL,
    "gpus": SEVERAL,
    "cpus": CLUSTERS,
    "memory": CLUSTERS,
    "time": CLUSTERS,
    "partition": CLUSTERS,
    "account": CLUSTERS,
    "lead": CLUSTERS,
    "extra": CLUSTERS,
    "rendezvous": ("torchrun",),
}
"""{field of `LaunchConfig`, which is an option of `lpm train`: launchers that do something with it}."""


def check(config: LaunchConfig, device: str = "auto") -> None:
    """Refuse options that change nothing, and one GPU for several processes.

    Args:
        config: Where a training is to run.
        device: The device that it is told to use.

    Raises:
        ValueError: If there is such an option; it is named, with the launchers to which it belongs.

    Example:
        >>> check(LaunchConfig(ranks=4))
        Traceback (most recent call last):
        ...
        ValueError: --ranks belongs to --launch torchrun, slurm or htcondor; got --launch local
    """
    for field in fields(config):
        belongs = USED_BY.get(field.name, (config.kind,))
        if config.kind not in belongs and getattr(config, field.name) != field.default:
            *most, last = belongs
            names = f"{', '.join(most)} or {last}" if most else last
            raise ValueError(f"--{field.name} belongs to --launch {names}; got --launch {config.kind}")
    if config.rendezvous and config.nodes == 1:
        raise ValueError("--rendezvous is where several machines meet; got --nodes 1")
    if config.kind == "slurm" and not config.time and config.lead != LaunchConfig.lead:
        raise ValueError("--lead is counted back from --time; got no --time")
    if config.nodes * config.each > 1 and device.startswith("cuda:"):
        raise ValueError(
            f"--device {device} with several ranks is one GPU for all; use --device cuda, each takes its own"
        )

"""Recipes of flash simulation: from generated particles to reconstructed objects, in one step.

`tracks` learns from pairs of charged particles and their tracks; `objects` from leptons, photons and jets and what was
reconstructed of each, in any file of pairs; `clusters` from groups of photons and the clusters of energy that are told
to each. What happens to a particle at all is a classification, what is measured of it a density of the fields one after
the other (`lpm.model.heads.density`). A photon that gives no cluster adds to that of another one, so that what is
measured is asked when it is known of all photons of a group how many clusters they have.
`lpm.recipes.reconstruct.apply` draws reconstructed events for generated ones.
"""

from __future__ import annotations

from lpm.data.flash import NUMBERS, OUTCOMES, SPECIES
from lpm.data.matched import FATES, KINDS, STEPS
from lpm.model.backbone import BackboneConfig
from lpm.model.heads import ClassifyConfig, DensityConfig, SegmentConfig
from lpm.model.model import ModelConfig
from lpm.recipes.base import DataConfig, RunConfig
from lpm.tokens import ContinuousConfig, Transform
from lpm.train.config import TrainConfig

__all__ = ["clusters", "objects", "tracks"]


def tracks(size: int = 1, data: tuple[str, ...] = ("tracks",), valid: tuple[str, ...] = ()) -> RunConfig:
    """Acceptance, efficiency, smearing, covariance and identification of charged particles.

    Args:
        size: The dial.
        data: Training files, of `lpm simulate flash` or any others of `lpm.data.flash.TRACKS`.
        valid: Validation files.
    """
    model = ModelConfig(
        backbone=BackboneConfig(width=32 * size, depth=1, heads=size, registers=0),
        tokenizers={"particle": _particle(), "track": _track()},
        heads={
            "outcome": ClassifyConfig(target="particle.outcome", classes=OUTCOMES, given=("particle",)),
            "track": DensityConfig(of="track", given=("particle",), hidden=32 * size, bins=12),
        },
    )
    return RunConfig(
        name="flash.tracks",
        text="What a spectrometer makes of a charged particle: whether there is a track, and all that it measures.",
        data=DataConfig(train=data, valid=valid, budget=4096, most=512),
        model=model,
        train=TrainConfig(
            steps=5000 * size, lr=1.5e-2 / size, optimiser="muon", warmup=100, ema=0.995, weight_decay=0.01,
            valid_every=500, save_every=500,
        ),
    )  # fmt: skip


def objects(size: int = 1, data: tuple[str, ...] = ("matched",), valid: tuple[str, ...] = ()) -> RunConfig:
    """Efficiency, b tags, response and isolation of leptons, photons and jets, learned from any simulation.

    Args:
        size: The dial.
        data: Training files of `lpm.data.matched.MATCHED`: of `lpm simulate events --preset matched`, or converted from
            NanoAOD or Delphes with `lpm convert --format cms-matched` or `delphes-matched`.
        valid: Validation files.
    """
    given = (_log("pt"), Transform(field="eta"), _log("mass", 1.0), _log("near", 0.1))
    made = (
        _log("response"), _asinh("deta", 0.01), _asinh("dphi", 0.01), _log("mass", 0.5), _asinh("iso", 0.02),
    )  # fmt: skip
    model = ModelConfig(
        backbone=BackboneConfig(width=32 * size, depth=1, heads=size, registers=0),
        tokenizers={
            "generated": ContinuousConfig(
                collection="generated",
                fields=(*given, Transform(field="kind", form="category")),
                classes=(len(KINDS),),
            ),
            "object": ContinuousConfig(collection="object", fields=made),
        },
        heads={
            "outcome": ClassifyConfig(target="generated.outcome", classes=FATES, given=("generated",)),
            # Isolation is nothing for many, and a comb beyond; angles are much coarser than their steps, or exact.
            "object": DensityConfig(
                of="object", given=("generated",), hidden=32 * size, bins=16, steps={"iso": STEPS["iso"]}
            ),
        },
    )
    return RunConfig(
        name="flash.objects",
        text="What a detector and its reconstruction make of a lepton, a photon or a jet.",
        data=DataConfig(train=data, valid=valid, budget=4096, most=512),
        model=model,
        train=TrainConfig(
            steps=2000 * size, lr=1.5e-2 / size, optimiser="muon", warmup=100, ema=0.995, weight_decay=0.01,
            valid_every=500, save_every=500,
        ),
    )  # fmt: skip


def clusters(size: int = 1, data: tuple[str, ...] = ("photons",), valid: tuple[str, ...] = ()) -> RunConfig:
    """Clusters of photons that fall near each other: how many each has, and what is measured of them.

    Args:
        size: The dial.
        data: Training files, of `lpm simulate flash --process photons` or any others of `lpm.data.flash.NEUTRALS`.
        valid: Validation files.
    """
    photon = (_log("energy"), *(Transform(field=f) for f in ("x", "y", "u", "v")))
    model = ModelConfig(
        backbone=BackboneConfig(width=48 * size, depth=2 * size, heads=2 * size, registers=0),
        tokenizers={
            "photon": ContinuousConfig(collection="photon", fields=photon),
            "told": ContinuousConfig(collection="told", fields=(*photon, Transform(field="clusters"))),
            "cluster": ContinuousConfig(
                collection="cluster",
                fields=(_log("response"), Transform(field="width"), _asinh("dx", 5.0), _asinh("dy", 5.0)),
            ),
        },
        heads={
            "number": SegmentConfig(target="photon.clusters", classes=NUMBERS, given=("photon",)),
            "cluster": DensityConfig(of="cluster", given=("told",), row="cluster.photon", hidden=32 * size, bins=12),
        },
    )
    return RunConfig(
        name="flash.clusters",
        text="What a calorimeter makes of a group of photons: how many clusters of each, and what they measure.",
        data=DataConfig(train=data, valid=valid, budget=4096, most=256),
        model=model,
        train=TrainConfig(
            steps=2000 * size, lr=1.5e-2 / size, optimiser="muon", warmup=100, ema=0.995, weight_decay=0.01,
            valid_every=500, save_every=500,
        ),
    )  # fmt: skip


def _particle() -> ContinuousConfig:
    return ContinuousConfig(
        collection="particle",
        fields=(
            _log("p"), _asinh("tx", 0.05), _asinh("ty", 0.05), Transform(field="eta"), _asinh("x", 0.1),
            _asinh("y", 0.1), Transform(field="z"), Transform(field="charge"),
            Transform(field="species", form="category"),
        ),
        classes=(len(SPECIES),),
    )  # fmt: skip


def _track() -> ContinuousConfig:
    """Uncertainties first: they tell how far the rest may lie from what was generated."""
    return ContinuousConfig(
        collection="track",
        fields=(
            *(_log(n) for n in ("err_p", "err_x", "err_y", "err_tx", "err_ty")),
            Transform(field="rho_x_tx"), Transform(field="rho_y_ty"), _asinh("rho_tx_p", 3e-5), _log("chi2"),
            _asinh("dp", 0.003), _asinh("dtx", 1e-4), _asinh("dty", 1e-4), _asinh("dx", 0.02), _asinh("dy", 0.02),
            Transform(field="light"), *(_asinh(n, 0.3) for n in ("rich_mu", "rich_e", "rich_K", "rich_p")),
            _asinh("ep", 0.005),
        ),
    )  # fmt: skip


def _log(field: str, floor: float = 1e-7) -> Transform:
    return Transform(field=field, form="log", floor=floor)


def _asinh(field: str, scale: float) -> Transform:
    return Transform(field=field, form="asinh", scale=scale)

"""Recipes: functions that return a complete, typed, serialisable run, and what carries one out."""

from __future__ import annotations

from collections.abc import Callable

from lpm.recipes import (
    calorimeter,
    calorimeter_baselines,
    fine,
    flash,
    four_tops,
    jets,
    origin,
    pid,
    taggers,
    tau,
    theory,
)  # fmt: skip
from lpm.recipes.base import DataConfig, RunConfig, StartConfig

__all__ = ["RECIPES", "DataConfig", "RunConfig", "StartConfig"]

RECIPES: dict[str, Callable[..., RunConfig]] = {
    "jets.base": jets.base,
    "jets.binned": jets.binned,
    "jets.quantised": jets.quantised,
    "jets.flow": jets.flow,
    "jets.top": jets.top,
    "jets.quark_gluon": jets.quark_gluon,
    "jets.classes": jets.classes,
    "jets.fine": fine.fine,
    "jets.tagger": taggers.plain,
    "jets.pfn": taggers.pfn,
    "jets.particle_net": taggers.particle_net,
    "jets.particle_transformer": taggers.particle_transformer,
    "jets.lorentz": taggers.lorentz,
    "jets.origin": origin.origin,
    "jets.tau": tau.tau,
    "jets.tau_transfer": tau.transfer,
    "events.four_tops": four_tops.four_tops,
    "calorimeter.flow": calorimeter.flow,
    "calorimeter.distilled": calorimeter.distilled,
    "calorimeter.universal": calorimeter.universal,
    "calorimeter.adapted": calorimeter.adapted,
    "calorimeter.adversarial": calorimeter_baselines.adversarial,
    "calorimeter.autoencoder": calorimeter_baselines.autoencoder,
    "calorimeter.codes": calorimeter_baselines.codes,
    "calorimeter.coupling": calorimeter_baselines.coupling,
    "calorimeter.layers": calorimeter_baselines.layers,
    "pid.set": pid.multi,
    "pid.binary": pid.binary,
    "pid.transfer": pid.transfer,
    "flash.tracks": flash.tracks,
    "flash.objects": flash.objects,
    "flash.clusters": flash.clusters,
    "theory.ibp": theory.ibp,
    "theory.spinor": theory.spinor,
    "theory.dilog": theory.dilog,
}
"""All recipes by name. Others are named `my_package.module:function`."""

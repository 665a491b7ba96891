"""Recipes: functions that return a complete, typed, serialisable run, and what carries one out."""

from __future__ import annotations

from collections.abc import Callable

from lpm.recipes import jets
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
}
"""All recipes by name. Others are named `my_package.module:function`."""

"""Boosted trees on high-level features: the baseline that a network has to beat, for jets and for events of objects.

What the trees see is what an analysis would compute by hand: masses, N-subjettiness and its ratios, energy flow,
multiplicities, and displaced tracks where they are measured; of events the hardest objects of each kind, their sums and
masses. Everything comes from the same rows that the networks see, so that the two can be compared.

The trees are those of scikit-learn (`pip install 'lpm[trees]'`), histogrammed gradient boosting after LightGBM (Ke et
al., NeurIPS 2017). They are trained anew where they are needed and are not written to disk: their format is pickle.

Shapes: B events, F features, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lpm.data.batch import Batch, Ragged
from lpm.data.fields import OBJECT_TYPES, PARTICLE_TYPES
from lpm.model.heads.base import class_index
from lpm.physics.kinematics import cartesian, mass
from lpm.physics.prime import PRIMES
from lpm.tasks.jets import SUBSTRUCTURE, describe

__all__ = ["Trees", "TreesConfig", "event_features", "jet_features"]

Array = NDArray[np.float64]

HARDEST = {"jet": 6, "b_jet": 4, "electron": 2, "positron": 2, "muon": 2, "antimuon": 2, "photon": 1, "met": 1}
"""Objects of each kind whose transverse momenta an event is described by."""


@dataclass(frozen=True, kw_only=True)
class TreesConfig:
    """What to tell apart, and how.

    Args:
        target: Path of the category, e.g. `jet.label`.
        classes: Names of the answers.
        groups: {class: categories that count as it}; a class not named stands for the category of its name.
        rounds: Most rounds of boosting; fewer if a held-out tenth stops improving.
        rate: Learning rate.
        leaves: Leaves of a tree.
    """

    target: str
    classes: tuple[str, ...]
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)
    rounds: int = 500
    rate: float = 0.05
    leaves: int = 31


def jet_features(batch: Batch) -> dict[str, Tensor]:
    """{name: (B,)} of jets, all from their particles.

    Args:
        batch: With `particle.pt`, `particle.deta`, `particle.dphi`, and whatever else of the particles is known.
    """
    jets = describe(batch)
    names = ("pt", *SUBSTRUCTURE, "tau21", "tau32", *(f"efp_{n}" for n in PRIMES))
    out = {n: jets.field(f"jet.{n}").values for n in names}
    out["tau43"] = out["tau4"] / out["tau3"].clamp_min(1e-6)
    pt = batch.field("particle.pt")
    share = pt.values / pt.sum()[pt.event]
    out["multiplicity"] = pt.lengths.float()
    out["ptd"] = pt.with_values(share**2).sum().sqrt()
    out["hardest"] = _sorted(pt.with_values(share), 1)[0]
    if "particle.charge" in batch.schema:
        charge = batch.field("particle.charge").values
        out["charged"] = pt.with_values((charge != 0).float()).sum()
        out["charge"] = pt.with_values(charge * share.sqrt()).sum()
    if "particle.type" in batch.schema:
        labels, kind = batch.schema.field("particle.type").labels, batch.field("particle.type").values
        for name in (n for n in PARTICLE_TYPES if n in labels):
            out[f"share_{name}"] = pt.with_values(share * (kind == labels.index(name))).sum()
    for name in ("d0", "dz"):
        if f"particle.{name}" in batch.schema and f"particle.{name}_err" in batch.schema:
            error = batch.field(f"particle.{name}_err").values
            size = batch.field(f"particle.{name}").values.abs() / torch.where(error > 0, error, torch.inf)
            for rank, values in enumerate(_sorted(pt.with_values(size), 4), start=1):
                out[f"{name}_{rank}"] = values
    return out


def event_features(batch: Batch) -> dict[str, Tensor]:
    """{name: (B,)} of events of objects.

    Args:
        batch: With `object.pt`, `object.eta`, `object.phi`, `object.energy` and `object.type`.
    """
    pt, eta, phi, energy, kind = (batch.field(f"object.{n}") for n in ("pt", "eta", "phi", "energy", "type"))
    p_N4 = torch.stack([*cartesian(pt.values, eta.values, phi.values), energy.values], 1)
    labels = batch.schema.field("object.type").labels
    is_kind = {n: kind.values == labels.index(n) if n in labels else kind.values < 0 for n in OBJECT_TYPES}
    out: dict[str, Tensor] = {}
    for name, count in HARDEST.items():
        chosen = torch.where(is_kind[name], pt.values, torch.nan)
        out[f"count_{name}"] = pt.with_values(is_kind[name].float()).sum()
        for rank, values in enumerate(_sorted(pt.with_values(chosen), count), start=1):
            out[f"pt_{name}_{rank}"] = values
    jets = is_kind["jet"] | is_kind["b_jet"]
    leptons = is_kind["electron"] | is_kind["positron"] | is_kind["muon"] | is_kind["antimuon"]
    groups = {"jets": jets, "b_jets": is_kind["b_jet"], "leptons": leptons, "all": kind.values >= 0}
    for name, group in groups.items():
        total_B4 = pt.with_values(p_N4 * group[:, None]).sum()
        out[f"mass_{name}"] = mass(*total_B4.unbind(1))
        out[f"ht_{name}"] = pt.with_values(pt.values * group).sum()
        out[f"count_{name}"] = pt.with_values(group.float()).sum()
        out[f"eta_{name}"] = pt.with_values(eta.values.abs() * group).sum() / out[f"count_{name}"].clamp_min(1)
    minus = is_kind["electron"] | is_kind["muon"]
    out["charge"] = pt.with_values(leptons.float() - 2 * minus.float()).sum()
    return out


class Trees:
    """Gradient boosting of trees.

    Args:
        config: What to tell apart.

    Example:
        >>> b = torch.randn(200, generator=torch.Generator().manual_seed(0))
        >>> config = TreesConfig(target="jet.label", classes=("QCD", "top"), rounds=20)
        >>> trees = Trees(config).fit({"x": b}, (b > 0).long())
        >>> trees.predict({"x": torch.tensor([-2.0, 2.0])}).argmax(1).tolist()
        [0, 1]
    """

    def __init__(self, config: TreesConfig) -> None:
        self.config = config
        self.names: tuple[str, ...] = ()
        self.model: Any = None

    def labels(self, batch: Batch) -> Tensor:
        """(B,) index of each event's class, -1 where it has none."""
        return class_index(batch, self.config.target, self.config.classes, self.config.groups)

    def fit(self, features: Mapping[str, Tensor], labels: Tensor, seed: int = 0) -> Trees:
        """Train, in place.

        Args:
            features: {name: (B,)}; NaN where something is not measured. What is nowhere measured is left out.
            labels: (B,) classes; events of class -1 are left out.
            seed: Of the held-out tenth and of the bins.

        Raises:
            ValueError: If scikit-learn is missing, or a class has no event.
        """
        try:
            from sklearn.ensemble import HistGradientBoostingClassifier
        except ImportError as error:
            raise ValueError("boosted trees need scikit-learn: pip install 'lpm[trees]'") from error
        known = labels >= 0
        absent = [n for i, n in enumerate(self.config.classes) if not bool((labels == i).any())]
        if absent:
            raise ValueError(f"no event of class {absent[0]} to train on; name the classes that the data have")
        # A feature that no event has says nothing, and the bins of scikit-learn fail on it.
        c, self.names = self.config, tuple(n for n, x in features.items() if bool(x[known].isfinite().any()))
        self.model = HistGradientBoostingClassifier(
            max_iter=c.rounds, learning_rate=c.rate, max_leaf_nodes=c.leaves, random_state=seed,
            early_stopping=bool(known.sum() >= 1000), validation_fraction=0.1, l2_regularization=1.0,
        )  # fmt: skip
        self.model.fit(self._table(features)[known.numpy()], labels[known].numpy())
        return self

    def predict(self, features: Mapping[str, Tensor]) -> Tensor:
        """(B, C) probabilities.

        Raises:
            ValueError: If the trees are not trained, or features are missing.
        """
        if self.model is None:
            raise ValueError("the trees are not trained yet; call fit first")
        return torch.from_numpy(self.model.predict_proba(self._table(features))).float()

    def _table(self, features: Mapping[str, Tensor]) -> Array:
        """(B, F), infinities as missing."""
        missing = [n for n in self.names if n not in features]
        if missing:
            raise ValueError(f"the trees were trained with {missing[0]!r}, which these events lack; use the same data")
        table = torch.stack([features[n] for n in self.names], 1).double().numpy()
        return np.where(np.isfinite(table), table, np.nan)


def _sorted(column: Ragged, count: int) -> list[Tensor]:
    """The largest values of each event, (B,) each; NaN where there are not so many."""
    x_BT, mask_BT = column.padded(-torch.inf)
    x_BT = torch.where(mask_BT & x_BT.isfinite(), x_BT, -torch.inf)
    if x_BT.shape[1] < count:
        x_BT = torch.nn.functional.pad(x_BT, (0, count - x_BT.shape[1]), value=-torch.inf)
    top_BC = x_BT.topk(count, 1).values
    return list(torch.where(top_BC.isfinite(), top_BC, torch.nan).unbind(1))

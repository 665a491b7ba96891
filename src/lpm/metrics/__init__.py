"""Metrics: a predicted and a true `Batch` (or their columns) in, a value with its uncertainty out.

`estimate` holds the value with its interval and the bootstrap; `roc` and `classification` judge scores; `generation`
compares generated events with true ones, by the distances of `wasserstein`, `frechet`, `kernel`, `neighbours` and
`two_sample`; `migration` says which class is taken for which, and `limits` what that is worth. `calorimeter`
compares showers, with `separation`, `shower_classifiers`, `shower_energies` and `memory`. A metric compares fields and
nothing else: what it measures was computed once, elsewhere, for both sides.
"""

from lpm.metrics.estimate import Estimate

__all__ = ["Estimate"]

"""A run record with one of every event that a report draws, and a browser where there is one."""

import numpy as np
import pytest

from lpm.report.runs import report_events


def jet(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(15, 30))
    return {
        "particles": {
            "pt": rng.exponential(20, n).round(2).tolist(),
            "deta": rng.normal(0, 0.2, n).round(3).tolist(),
            "dphi": rng.normal(0, 0.2, n).round(3).tolist(),
            "charge": rng.integers(-1, 2, n).tolist(),
            "type": rng.choice(["charged_hadron", "photon", "muon"], n).tolist(),
        },
        "jet": {"pt": 600.0, "mass": 172.5},
        "label": "top",
    }


@pytest.fixture(scope="session")
def events():
    """Events of one run, as read from its record."""
    value = {"value": 0.97, "low": 0.96, "high": 0.98}
    x = np.linspace(0.01, 1, 50)
    return [
        {"event": "start", "time": 1.8e9, "recipe": {"name": "tiny", "width": 64}, "seed": 11, "commit": "0123456789ab",
         "versions": {"lpm": "0.1.0"}, "hardware": {"processor": "a </script> CPU", "cores": 2}},
        *({"event": "step", "step": s, "loss": {"next token": 3 / (s + 1), "label": None if s == 3 else 1.0},
           "events_per_s": 800.0} for s in range(40)),
        {"event": "valid", "step": 20, "loss": {"next token": 0.2}},
        {"event": "metrics", "name": "tagging", "values": {"auc": value, "rejection@0.3": {**value, "high": None}}},
        {"event": "metrics", "name": "scratch", "values": {"auc": value, "rejection@0.3": value}},
        {"event": "metrics", "name": "jets", "values": {"w1[jet.mass]": value, "w1[jet.mass].floor": value}},
        {"event": "curve", "name": "roc", "x": x.tolist(), "series": {"tagger": (x**3).tolist()}},
        {"event": "curve", "name": "labels", "x": [100, 1000, 10000], "x_label": "labels", "y_label": "AUC",
         "series": {"a": {"value": [0.8, 0.9, None], "low": [0.7, 0.8, None], "high": [0.9, 1.0, None]}}},
        {"event": "histogram", "name": "jet.mass", "unit": "GeV", "edges": [0, 50, 100, 200],
         "series": {"truth": [10, 40, 5], "generated": [12, 30, 0]}, "outside": {"truth": 0, "generated": 14}},
        {"event": "image", "name": "jet image", "series": {n: np.eye(8).tolist() for n in ("truth", "generated")}},
        {"event": "jets", "series": {"truth": [jet(1), jet(2)], "generated": [jet(3)]}},
        {"event": "of a later version", "what": 1},
        {"event": "artefact", "path": "weights.safetensors", "bytes": 1_500_000, "sha256": "ab" * 32},
        {"event": "end", "energy_kwh": 0.012, "co2_kg": 0.004, "seconds": 411.2},
    ]  # fmt: skip


@pytest.fixture(scope="session")
def text(events):
    """The page of that run."""
    return report_events({"first": events}).render()

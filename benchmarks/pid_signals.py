"""Tracks of a file identified by what detectors measured of them, without how many clusters and rows they left.

    python benchmarks/pid_signals.py --data tracks.npz

The number of clusters depends on how a sample was selected as much as on the species: kaons that are known by their
decay in flight stop inside the detector, and a method that counts rows has found the selection. What `pid.py` says
holds here otherwise, word for word.
"""

from __future__ import annotations

from pid import main

HIDDEN = ("tpc.samples", "tpc.clusters", "tpc.crossed", "tpc.findable")

if __name__ == "__main__":
    main(__doc__ or "", "Sets of signals identify recorded tracks whose numbers of clusters are hidden.", HIDDEN)

"""Tracks of a file that knows their species, identified as in `pid.py`: by signals that are there, or tables with gaps.

    python benchmarks/pid_tracks.py --data tracks.npz

What `pid.py` says holds here, word for word; only the record is another.
"""

from __future__ import annotations

from pid import main

if __name__ == "__main__":
    main(__doc__ or "", "Sets of signals identify recorded tracks at least as well as any table with gaps.")

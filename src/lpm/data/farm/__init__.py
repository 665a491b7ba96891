"""Many independent pieces of work, one file each: made here, by local processes, or by a cluster through Dask.

A piece carries a key, the hash of all that its file depends on. A marker beside the file says which key it was made for
and what its bytes are, so that a second run makes what is missing, damaged or out of date, and nothing else.
"""

from lpm.data.farm.crew import Crew, Farm, job_script, open_crew
from lpm.data.farm.piece import Failure, Made, Piece, finished, perform
from lpm.data.farm.run import Plan, Unfinished, each, look, make

__all__ = [
    "Crew",
    "Failure",
    "Farm",
    "Made",
    "Piece",
    "Plan",
    "Unfinished",
    "each",
    "finished",
    "job_script",
    "look",
    "make",
    "open_crew",
    "perform",
]

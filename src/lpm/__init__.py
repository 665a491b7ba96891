"""lpm: an open Large Physics Model. One transformer body, many heads, every kind of particle-physics data."""

__version__ = "0.1.0"

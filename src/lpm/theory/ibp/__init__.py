"""Reduction of Feynman integrals: families, their identities and sectors, and the exact reduction of Laporta."""

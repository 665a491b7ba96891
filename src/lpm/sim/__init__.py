"""Simulated jets: the generator Pythia, a parametrised detector, clustering with FastJet, and shards of the result.

Cards in `cards/` say what to simulate; `production` makes a sample of any size on all cores.
"""

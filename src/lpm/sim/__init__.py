"""Simulated jets and events: generators, a parametrised detector, clustering with FastJet, and shards of the result.

Hard events come from Pythia, from Sherpa or from Les Houches files; Pythia showers all of them. `detector` sees them;
`jets`, `pair` and `objects` find in them what a preset asks for. Cards in `cards/` say what to simulate; `production`
makes a sample of any size on all cores. `calorimeter` makes showers by parametrisation, without a generator.
"""

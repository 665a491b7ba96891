"""Physics as pure functions on tensors: kinematics, clustering, substructure, energy flow. Imports nothing of lpm."""

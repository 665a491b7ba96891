"""What happened: configurations as JSON, content hashes, the environment, energy, and the append-only run record."""

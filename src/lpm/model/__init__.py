"""The model: what the backbone may see, the backbone, and the heads that ask it questions."""

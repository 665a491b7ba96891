"""Training of anything whose forward pass gives losses. This package knows no physics, no data set and no model."""

"""The story of a first call and a first delivery, told on a platform of its own: `make demo`."""

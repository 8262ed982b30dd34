"""The story of a first call, told on a platform of its own: `make demo`."""

"""Benchmarks: one per budget of the design, each with a baseline in the same run."""

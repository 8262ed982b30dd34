"""Wire shapes, by noun."""

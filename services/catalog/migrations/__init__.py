"""The catalogue's database history."""

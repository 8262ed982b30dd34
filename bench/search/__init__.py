"""The search of the catalogue against plain SQL."""

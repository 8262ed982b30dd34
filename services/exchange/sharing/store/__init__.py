"""All SQL of sharing: rows in, domain objects out."""

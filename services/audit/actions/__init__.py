"""Verbs of audit: take records in, commit them, index them, prove and package them."""

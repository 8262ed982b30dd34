"""Delivery benchmark: a million rows from the owner's file to the consumer's receipt."""

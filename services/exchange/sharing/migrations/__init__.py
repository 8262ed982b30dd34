"""Sharing's database history."""

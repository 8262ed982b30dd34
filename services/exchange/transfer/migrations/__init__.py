"""Migrations of transfer's database."""

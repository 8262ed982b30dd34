"""Whole tables: publish one as a batch, receive one and keep it in step.

Needs the extra `tables` of this distribution (pyarrow, psycopg), except for publishing CSV and
NDJSON files.
"""

"""Transfer holds the datasets and their rows.

It alone reads and writes shared data, and enforces the granted items from its own copy of the
grant. It never decides who may have data: entries are catalog's, grants are sharing's.
Called by the gateway only.
"""

"""Transfer holds datasets, batches and their effects, deliveries and receipts.

It alone reads and writes shared data, and enforces what a grant lets be seen from its own copy
of the grant. Batches become effective, and deliveries are made, by a worker process. It never
decides who may have data: entries are catalog's, grants are sharing's. Called by the gateway only.
"""

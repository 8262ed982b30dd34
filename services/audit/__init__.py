"""Audit holds the log of evidence and its search index.

It alone may append evidence and sign checkpoints. It never edits or deletes evidence. The gateway
calls its API; its writer reads records and facts from the bus and tells gateways how far they
were accepted.
"""

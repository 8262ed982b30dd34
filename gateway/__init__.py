"""The gateway: every call passes it, is decided on, and leaves evidence.

Holds the evidence that audit has not accepted yet, in a spool of its own. Never owns a database
and never signs a token. Called by everybody; calls the services over internal mTLS.
Layers, high to low: app, listener and admin, edge, upstream and evidence and table, domain,
settings.
"""

"""The sharing service.

Holds requests and grants: who may use what, for which purposes, how long.
Alone may create, suspend, resume and end a grant.
Never holds the data itself.
Called by the gateway.
"""

"""The catalogue service.

Holds entries, their items and versions, share classes with their legal basis.
Alone may publish or withdraw an entry and change a share class.
Never knows who was granted what.
Called by the gateway.
"""

"""The exchange: two authorities, who may use what (sharing) and the data itself (transfer)."""

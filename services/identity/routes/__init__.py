"""Routes of identity: each opens the transaction and names who may call."""

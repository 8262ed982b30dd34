"""HTTP of sharing: read, open the transaction, call one action, answer."""

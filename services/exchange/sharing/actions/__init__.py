"""What sharing does: load, decide, save, tell. The edge opens and ends the transaction."""

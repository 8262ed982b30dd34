"""Wire shapes of sharing. Bodies are strict: no coercion, no unknown members."""

"""Pure rules of the log: trees, tiles, notes, sequences, records, commits. No I/O."""

"""Where the log and its index lie: objects, keys, the outside checkpoint, PostgreSQL."""

"""The `datong` distribution: client, command line and offline verifier."""

"""A stand-in part for tests of the supervisor: it only answers its health port."""

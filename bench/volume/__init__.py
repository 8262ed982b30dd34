"""A city's agencies, entries and grants, loaded by `datong apply`."""

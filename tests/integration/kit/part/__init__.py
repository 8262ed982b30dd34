"""A part that has nothing but the tables of the kit."""

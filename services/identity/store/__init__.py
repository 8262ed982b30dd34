"""What identity keeps in PostgreSQL; rows end here and domain objects go out."""

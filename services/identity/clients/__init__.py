"""What identity reaches outside its database: the departments' CA and the token keys."""

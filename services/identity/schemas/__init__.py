"""What travels in bodies. Unknown members and wrong types are refused."""

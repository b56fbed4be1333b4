"""What a person wants to see of a connection."""

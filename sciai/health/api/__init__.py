"""What a user imports and calls."""

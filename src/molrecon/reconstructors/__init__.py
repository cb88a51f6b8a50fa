"""The methods a user names, and the files their weights are kept in."""

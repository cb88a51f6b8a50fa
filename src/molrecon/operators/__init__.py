"""Forward models A, one file each."""

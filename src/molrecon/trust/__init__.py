"""What a pixel can be trusted for: its noise, the small features it keeps, its share of data."""

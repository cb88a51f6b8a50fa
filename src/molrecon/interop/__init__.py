"""Data of other packages in, images for them out; each package is imported where it is used."""

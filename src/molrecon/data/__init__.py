"""Raw data and images: formats, coil maps, masks, noise and simulation."""

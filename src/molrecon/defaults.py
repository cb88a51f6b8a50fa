"""The shipped models that are taken where none is named."""

DEFAULT_MODEL = "brain2d-guided"
"""Of the method mol."""

ADAPTED_MODEL = "brain2d-sn"
"""Of `molrecon.adapt`: one that returns the full scan, which measured samples can judge."""

SERIES_MODEL = "series-strict"
"""Of series of frames, of one period."""

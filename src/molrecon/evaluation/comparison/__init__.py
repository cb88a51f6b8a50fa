"""Methods side by side on the same images."""

from molrecon.evaluation.comparison.compare import Comparison, compare, prepare
from molrecon.evaluation.comparison.config import ComparisonConfig, read_config

__all__ = ["Comparison", "ComparisonConfig", "compare", "prepare", "read_config"]

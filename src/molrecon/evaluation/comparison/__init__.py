"""Methods side by side on the same images."""

from molrecon.evaluation.comparison.compare import Comparison, compare
from molrecon.evaluation.comparison.config import ComparisonConfig, read_config
from molrecon.evaluation.comparison.plan import Plan, prepare

__all__ = ["Comparison", "ComparisonConfig", "Plan", "compare", "prepare", "read_config"]

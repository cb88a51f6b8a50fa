"""The data check: is a scan what it is taken for? One file for each kind of finding."""

from molrecon.data.check.findings import DataCheck, Finding
from molrecon.data.check.registry import CHECKS, ITEMS, check, evenly

__all__ = ["CHECKS", "ITEMS", "DataCheck", "Finding", "check", "evenly"]

"""Sampling masks with an exact acceleration and a fully sampled centre, one kind per file."""

from __future__ import annotations

from molrecon.data.masks.registry import MASK_KINDS, MaskKind, make_mask

__all__ = ["MASK_KINDS", "MaskKind", "make_mask"]

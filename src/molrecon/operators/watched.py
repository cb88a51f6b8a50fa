"""Objects that notice when tensors they hold are changed."""

from __future__ import annotations

from typing import Any

from torch import Tensor


class Watched:
    """Base of objects that derive values from their tensors when they are made.

    A tensor that is set again, or changed in place afterwards, no longer fits what was derived
    from it. PyTorch counts changes in place, but for those through ``data`` and through numpy.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        versions, first = vars(self).setdefault("_versions", {}), name not in vars(self)
        super().__setattr__(name, value)
        if name in versions or isinstance(value, Tensor):
            versions[name] = _version(value) if first else None

    @property
    def changed(self) -> bool:
        """Whether a tensor was set again, or changed in place, after it was set."""
        versions = vars(self).get("_versions", {})
        return any(n is None or n != _version(vars(self)[name]) for name, n in versions.items())

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy holds, with whether it was changed in place of the counts."""
        return vars(self) | {"_versions": self.changed}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over what another object held; its tensors count from here."""
        tensors = {name: value for name, value in state.items() if isinstance(value, Tensor)}
        changed = state["_versions"]
        versions = {name: None if changed else _version(value) for name, value in tensors.items()}
        vars(self).update(state | {"_versions": versions})


def _version(tensor: Tensor) -> int:
    # Those of inference mode do not count.
    return 0 if tensor.is_inference() else tensor._version

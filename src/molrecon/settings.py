"""The base of all settings."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Settings are read-only, and unknown ones are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

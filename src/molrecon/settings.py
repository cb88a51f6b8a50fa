"""The base of all settings."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError


class Settings(BaseModel):
    """Settings are read-only, and unknown ones are refused, with the name that is nearest."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _are_known(cls, content: Any) -> Any:
        if not isinstance(content, dict):
            return content
        for name, value in content.items():
            near = get_close_matches(str(name), cls.model_fields, n=1)
            if name not in cls.model_fields and near:
                told = f"there is no such setting; the nearest is {near[0]}"
                error = PydanticCustomError("unknown_setting", told)
                details = InitErrorDetails(type=error, loc=(str(name),), input=value)
                raise ValidationError.from_exception_data(cls.__name__, [details])
        return content

"""The base of the groups of options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sglite.config_fields import option_fields


@dataclass(frozen=True, kw_only=True)
class OptionGroup:
    """Base of the option groups: no object with a bad value can be made."""

    def __post_init__(self) -> None:
        for name, field in option_fields(self.__class__).items():
            field.check(getattr(self, name))

    def to_dict(self) -> dict[str, Any]:
        """Every option by name."""
        return {name: getattr(self, name) for name in option_fields(self.__class__)}

    def to_public_dict(self) -> dict[str, Any]:
        """Every option by name but the secret ones."""
        fields = option_fields(self.__class__)
        return {name: getattr(self, name) for name, each in fields.items() if not each.is_secret}

    @classmethod
    def names_elsewhere(cls) -> frozenset[str]:
        """Keywords of options that belong to others; environment and files may hold them."""
        return frozenset()

from dataclasses import dataclass

import pytest

from sglite.config_fields import option
from sglite.config_group import OptionGroup
from sglite.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Options(OptionGroup):
    size: int = option(1, ge=1)
    """A size."""
    key: str | None = option(None, is_secret=True)
    """A secret."""


def test_no_object_with_a_bad_value_can_be_made():
    with pytest.raises(ConfigError, match="size: 0 is not allowed"):
        Options(size=0)


def test_secrets_are_left_out_of_what_is_shown():
    options = Options(key="k")
    assert options.to_dict() == {"size": 1, "key": "k"}
    assert options.to_public_dict() == {"size": 1}

"""Backends by name."""

import sys

import pytest

from sglite.errors import ConfigError
from sglite.grammar.backends import make_backend
from tests.grammar.small_vocabularies import byte_vocabulary


def test_makes_the_one_that_is_named():
    assert make_backend("llguidance", byte_vocabulary(), whitespace="none").name == "llguidance"


def test_an_unknown_name_is_refused():
    with pytest.raises(ConfigError, match="'none'; possible are llguidance and xgrammar"):
        make_backend("none", byte_vocabulary())


def test_a_library_that_is_missing_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sglite.grammar.xgrammar_backend", None)
    with pytest.raises(ConfigError, match=r"sglite\[xgrammar\]"):
        make_backend("xgrammar", byte_vocabulary())

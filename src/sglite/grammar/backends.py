"""The grammar libraries by name."""

from __future__ import annotations

from sglite.errors import ConfigError
from sglite.grammar.backend import GrammarBackend
from sglite.grammar.specs import Whitespace
from sglite.grammar.vocabulary import Vocabulary


def make_backend(
    name: str, vocabulary: Vocabulary, *, whitespace: Whitespace = "single"
) -> GrammarBackend:
    """The backend that ``--grammar-backend`` names, for one vocabulary.

    It is imported here, not at start: llguidance alone does without torch. Raises ConfigError
    where the name is unknown or the library is not installed.
    """
    if name == "llguidance":
        from sglite.grammar.llguidance_backend import LlguidanceBackend

        return LlguidanceBackend(vocabulary, whitespace=whitespace)
    if name == "xgrammar":
        try:
            from sglite.grammar.xgrammar_backend import XgrammarBackend
        except ImportError as error:
            raise ConfigError(
                "--grammar-backend xgrammar needs the library of that name: "
                'pip install "sglite[xgrammar]"'
            ) from error
        return XgrammarBackend(vocabulary, whitespace=whitespace)
    raise ConfigError(f"--grammar-backend is {name!r}; possible are llguidance and xgrammar")

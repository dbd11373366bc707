"""The contract of a backend with llguidance, and what is its own."""

import pytest

from sglite.grammar.backend import GrammarBackend
from sglite.grammar.backends import make_backend
from sglite.grammar.vocabulary import Vocabulary
from tests.grammar import backend_contract
from tests.grammar.small_vocabularies import byte_vocabulary


@pytest.fixture(scope="module", params=[None, 320])
def vocabulary(request: pytest.FixtureRequest) -> Vocabulary:
    return byte_vocabulary(size=request.param)


@pytest.fixture(scope="module")
def backend(vocabulary: Vocabulary) -> GrammarBackend:
    return make_backend("llguidance", vocabulary)


class TestEveryGrammar(backend_contract.EveryGrammar):
    pass


class TestEveryBackend(backend_contract.EveryBackend):
    pass

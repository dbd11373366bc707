"""The contract of a backend with xgrammar, where that is installed; to import it takes seconds."""

from importlib.util import find_spec

import pytest

from sglite.grammar.backend import GrammarBackend
from sglite.grammar.backends import make_backend
from sglite.grammar.vocabulary import Vocabulary
from tests.grammar import backend_contract
from tests.grammar.small_vocabularies import byte_vocabulary

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("xgrammar") is None, reason="xgrammar is not installed"),
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return byte_vocabulary()


@pytest.fixture(scope="module")
def backend(vocabulary: Vocabulary) -> GrammarBackend:
    return make_backend("xgrammar", vocabulary)


class TestEveryGrammar(backend_contract.EveryGrammar):
    pass


class TestEveryBackend(backend_contract.EveryBackend):
    pass

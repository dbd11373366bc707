"""The contract of a backend with xgrammar, where that is installed; to import it takes seconds."""

from importlib.util import find_spec

import pytest

from sglite.grammar.backend import GrammarBackend
from sglite.grammar.backends import make_backend
from sglite.grammar.vocabulary import Vocabulary
from sglite.request import GrammarSpec
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


def test_characters_that_share_their_first_bytes_force_no_part_of_one(
    backend: GrammarBackend,
) -> None:
    matcher = backend.compile(GrammarSpec("regex", "[äöü]x")).start()
    assert matcher.forced_tokens() == []

"""What several tests of the training share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from tokenizers import Tokenizer

from tests.training.drawing import documents_of_every_skill
from training.tokenizer import train_tokenizer
from training.train import tokenizer_text


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    """A tokenizer trained on a few documents of every skill, as the real one is on many."""
    texts = [tokenizer_text(document) for document in documents_of_every_skill(20)]
    return train_tokenizer(texts, vocab_size=1_200)


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """For matrices as small as these, a second thread costs more than it brings."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(num_threads)

from __future__ import annotations

import pytest

from sglite.scheduler.commit import up_to_stop


@pytest.mark.parametrize(
    ("token_ids", "left"),
    [([], []), ([5, 6], [5, 6]), ([7, 5], [7]), ([5, 7], [5, 7]), ([5, 8, 7, 6], [5, 8])],
)
def test_nothing_follows_the_first_token_that_ends_an_answer(token_ids, left):
    assert up_to_stop(token_ids, frozenset({7, 8})) == left

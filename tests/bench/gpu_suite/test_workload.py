from __future__ import annotations

from sglite.bench.gpu_suite.workload import equal_batch, random_batch


def test_requests_are_those_that_others_draw():
    asks = random_batch(256, 100, 1024, vocab=151_936)
    assert sum(len(ask.token_ids) for ask in asks) == 142_827
    assert sum(ask.num_new_tokens for ask in asks) == 133_966
    assert max(max(ask.token_ids) for ask in asks) == 10_000


def test_token_ids_stay_in_the_vocabulary():
    asks = random_batch(8, 10, 20, vocab=50) + equal_batch(8, 20, 1, vocab=50)
    assert max(max(ask.token_ids) for ask in asks) == 49


def test_equal_requests_share_nothing_and_change_with_the_seed():
    asks = equal_batch(3, 5, 7, vocab=1000)
    assert [(len(ask.token_ids), ask.num_new_tokens) for ask in asks] == [(5, 7)] * 3
    assert len({tuple(ask.token_ids) for ask in asks}) == 3
    assert asks == equal_batch(3, 5, 7, vocab=1000)
    assert asks != equal_batch(3, 5, 7, vocab=1000, seed=2)

from dataclasses import replace

import pytest

from tests.memory.test_plan import GIB, gpu, plan


def test_what_is_left_is_what_nothing_else_takes():
    planned = plan(graph_rows=8)
    taken = planned.weights_bytes + planned.graph_bytes + planned.activation_bytes
    assert planned.left_bytes == 16 * GIB - taken
    assert planned.pool_limit_bytes == int(planned.left_bytes * 0.5)


def test_kind_of_device_decides_what_the_fraction_is_of():
    assert gpu(24 * GIB).is_gpu and not plan().is_gpu
    assert gpu(24 * GIB).pool_limit_bytes == gpu(24 * GIB).left_bytes - 16 * GIB


@pytest.mark.parametrize("planned", [plan(), gpu(24 * GIB)], ids=["cpu", "gpu"])
@pytest.mark.parametrize("num_bytes", [1, GIB, 5 * GIB])
def test_fraction_for_an_amount_is_the_least_that_gives_it(planned, num_bytes):
    fraction = planned.fraction_for(num_bytes)
    assert fraction == round(fraction, 3)
    assert replace(planned, fraction=fraction).pool_limit_bytes >= num_bytes
    assert replace(planned, fraction=fraction - 0.001).pool_limit_bytes < num_bytes


def test_no_fraction_gives_more_than_is_left():
    planned = plan()
    assert planned.fraction_for(planned.left_bytes + 1) is None
    assert planned.fraction_for(planned.left_bytes) == 1.0


def test_requests_share_the_pool():
    planned = replace(plan(), num_pages=1024, max_running_requests=8, context_length=4096)
    assert (planned.num_tokens, planned.kv_bytes) == (16384, 1024 * planned.kv_bytes_per_page)
    assert (planned.expected_concurrency, planned.tokens_per_request) == (4.0, 2048)
    assert planned.wanted_tokens == 8 * 4096

"""What the prefix cache is for: nothing that is known is computed again."""

from __future__ import annotations

import pytest

from sglite.models.decoder import Decoder
from sglite.observability.events import Inserted
from sglite.request import LogprobParams
from tests.engine.harness import Driver
from tests.model_harness import load_decoder
from tests.models.parity_models import make_model

PREFIX = [(7 * i * i + 3 * i) % 251 for i in range(512)]


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    row = {"variant": "llama", "rope": "default", "gqa_ratio": 2, "head_dim": 64, "tied": True}
    return load_decoder(make_model(row))


@pytest.mark.parametrize("in_flight", [1, 2])
@pytest.mark.parametrize("chunk", [128, 2048])
def test_64_requests_compute_a_cold_common_prefix_once(
    decoder: Decoder, chunk: int, in_flight: int
) -> None:
    driver = Driver.make(decoder, chunked_prefill_size=chunk, max_in_flight=in_flight, check=False)
    suffixes = [[i, 255 - i, i, 17] for i in range(64)]
    for number, suffix in enumerate(suffixes):
        driver.add(f"r{number}", PREFIX + suffix, max_new_tokens=2)
    driver.run()
    assert driver.num_computed_tokens(prompts_only=True) == 512 + 64 * 4
    cached = sorted(finish.num_cached_tokens for finish in driver.finishes.values())
    assert cached == [0] + [512] * 63
    driver.engine.close()


def test_an_exact_repeat_computes_at_most_one_page(decoder: Decoder) -> None:
    driver = Driver.make(decoder)
    for number, length in enumerate((512, 511, 500)):
        for name in ("first", "again"):
            driver.add(f"{name}-{number}", PREFIX[:length], max_new_tokens=1)
            before = driver.num_computed_tokens()
            driver.run()
            computed = driver.num_computed_tokens() - before
        finish = driver.finishes[f"again-{number}"]
        assert computed <= 16
        assert finish.num_cached_tokens == (length - 1) // 16 * 16 == length - computed


def test_samples_of_one_prompt_share_its_pages_even_without_the_cache(decoder: Decoder) -> None:
    driver = Driver.make(decoder, disable_radix_cache=True, num_pages=64)
    for number in range(4):
        driver.add(f"r{number}", PREFIX[:200], max_new_tokens=4, group_id="g")
    driver.run()
    assert driver.num_computed_tokens(prompts_only=True) == 200 + 3 * (200 - 192)
    assert driver.engine.scheduler.cache.stats().num_cached_tokens == 0
    driver.add("later", PREFIX[:200], max_new_tokens=1)
    driver.run()
    assert driver.finishes["later"].num_cached_tokens == 0


def test_namespaces_share_nothing(decoder: Decoder) -> None:
    driver = Driver.make(decoder)
    for number, namespace in enumerate(("a", "b", "a")):
        driver.add(f"r{number}", PREFIX[:100], max_new_tokens=1, namespace=namespace)
        driver.run()
    cached = [driver.finishes[f"r{number}"].num_cached_tokens for number in range(3)]
    assert cached == [0, 0, 96]


def test_a_conversation_reuses_its_own_answer(decoder: Decoder) -> None:
    driver = Driver.make(decoder, page_size=4)
    driver.add("turn-1", PREFIX[:30], max_new_tokens=20)
    driver.run()
    history = PREFIX[:30] + driver.outputs["turn-1"]
    driver.add("turn-2", [*history, 1, 2, 3], max_new_tokens=1)
    driver.run()
    # The last sampled token was never computed; whole pages before it were.
    assert driver.finishes["turn-2"].num_cached_tokens == (len(history) - 1) // 4 * 4


def test_pinned_prefixes_survive_memory_pressure_and_flush(decoder: Decoder) -> None:
    driver = Driver.make(decoder, num_pages=20, page_size=16)
    driver.add("pinned", PREFIX[:96], max_new_tokens=0, pin_prefix=True)
    driver.run()
    for number in range(6):
        driver.add(f"r{number}", [number, *PREFIX[100:240]], max_new_tokens=1)
    driver.run()
    assert driver.engine.try_flush_cache()
    driver.add("again", PREFIX[:100], max_new_tokens=1)
    driver.run()
    assert driver.finishes["again"].num_cached_tokens == 96


def test_prompt_logprobs_are_the_same_with_and_without_a_cached_prefix(decoder: Decoder) -> None:
    driver = Driver.make(decoder, chunked_prefill_size=48)
    wanted = LogprobParams(start_len=70, top_num=2, token_ids=(5,))
    for name in ("cold", "warm"):
        driver.add(name, PREFIX[:200], max_new_tokens=2, logprobs=wanted)
        driver.run()
    assert driver.finishes["warm"].num_cached_tokens == 64
    cold, warm = driver.prompt_logprobs["cold"], driver.prompt_logprobs["warm"]
    assert [entry.token_id for entry in cold] == PREFIX[71:200]
    assert [entry.token_id for entry in warm] == PREFIX[71:200]
    pairs = zip(cold, warm, strict=True)
    assert max(abs(a.logprob - b.logprob) for a, b in pairs) < 1e-4  # type: ignore[operator]
    assert all(len(entry.top) == 2 and entry.chosen[0][0] == 5 for entry in warm)


def test_duplicates_give_way_to_the_pages_of_the_tree(decoder: Decoder) -> None:
    driver = Driver.make(decoder, page_size=4, max_running_requests=4)
    first = PREFIX[:20]
    driver.add("a", first, max_new_tokens=12)
    driver.run()
    driver.engine.scheduler.cache.flush()
    for name in ("b", "c"):  # both decode the same answer side by side
        driver.add(name, first, max_new_tokens=12)
    driver.run()
    assert driver.outputs["a"] == driver.outputs["b"] == driver.outputs["c"]
    inserted = [event for event in driver.events if isinstance(event, Inserted)]
    assert sum(event.num_duplicates for event in inserted) > 0
    stats = driver.engine.scheduler.cache.stats()
    assert stats.num_free_tokens + stats.num_cached_tokens == stats.num_total_tokens

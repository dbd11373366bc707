"""Each number that a refusal names is tried: what it says would fit does, and one more does not."""

import re

import pytest

from sglite.errors import ConfigError
from sglite.memory.memory_plan import MemoryPlan
from sglite.memory.plan import MeasuredMemory, plan_measured
from sglite.memory.refusal import explain_out_of_memory, refuse_too_little
from tests.memory.test_plan import GIB, gpu, plan

MIB = 1 << 20


def refusal(make, *arguments, **options):
    with pytest.raises(ConfigError) as caught:
        make(*arguments, **options)
    return str(caught.value)


def number(pattern, text):
    """What the group of ``pattern`` says, without its commas."""
    return float(re.search(pattern, text)[1].rstrip(".").replace(",", ""))


def test_weights_that_do_not_fit_are_refused_with_what_is_missing():
    message = r"weights need 1\.11 GiB in bfloat16.* Free 624\.\d+ MiB"
    assert re.search(message, refusal(plan, GIB // 2))
    assert "512.00 MiB of 32.00 GiB on cuda:0 are available" in refusal(gpu, GIB // 2)


def test_no_room_for_one_page_is_refused_with_what_to_lower():
    needed = plan().weights_bytes + plan().activation_bytes
    message = refusal(plan, needed + 1000)
    assert "one page of 16 tokens (1.75 MiB) do not fit" in message
    assert "lower max_running_requests (32)" in message


def test_a_fraction_too_small_for_one_page_is_refused_with_the_one_that_fits():
    needed = plan().weights_bytes + plan().activation_bytes
    available = needed + 10 * plan().kv_bytes_per_page
    message = refusal(plan, available, fraction=0.05)
    assert message.startswith("mem_fraction_static 0.05 ")
    fits = number(r"Raise it to ([\d.]+) or more", message)
    assert plan(available, fraction=fits).num_pages == 1


def test_on_a_gpu_the_fraction_that_fits_one_page_is_named_as_well():
    message = refusal(gpu, 16 * GIB, fraction=0.5)
    assert message.startswith("mem_fraction_static 0.5 of the 32.00 GiB on cuda:0 has no room")
    fits = number(r"Raise it to ([\d.]+) or more", message)
    assert gpu(16 * GIB, fraction=fits).num_pages >= 1
    refusal(gpu, 16 * GIB, fraction=fits - 0.001)


def test_too_many_tokens_are_refused_with_the_number_that_fits():
    message = refusal(plan, max_total_tokens=1_000_000)
    assert message.startswith("max_total_tokens 1,000,000 needs")
    fits = int(number(r"Lower it to ([\d,]+)", message))
    assert plan(max_total_tokens=fits).num_tokens == fits
    refusal(plan, max_total_tokens=fits + 16)


TOTAL = 16 * GIB


def measured(free=6 * GIB, *, context_length=40960, **options) -> MemoryPlan:
    """A plan of a GPU of 16 GiB after loading; the activations follow the rows."""
    sizes = {"context_length": context_length, "concurrency": 512, "fraction": 0.9, **options}
    estimate = gpu(24 * GIB, prefill_tokens=8192, graph_rows=256, **sizes)
    return plan_measured(
        estimate,
        MeasuredMemory(
            total_bytes=TOTAL,
            free_bytes=int(free),
            weights_bytes=1_192_099_840,
            graph_bytes=GIB,
            activation_bytes=GIB // 2,
        ),
    )


def test_a_measured_pool_must_hold_a_request_of_the_full_context():
    message = refusal(measured)
    held = int(number(r"^the KV pool has room for ([\d,]+) tokens", message))
    assert "one request of the full context has 40,960." in message
    assert number(r"Lower context_length to ([\d,]+)", message) == held
    assert measured(context_length=held).num_tokens == held
    refusal(measured, context_length=held + 1)


def test_an_estimate_is_not_refused_for_it():
    estimate = gpu(24 * GIB, fraction=0.4, context_length=40960)
    assert estimate.num_tokens < estimate.context_length


def test_a_fraction_that_holds_the_full_context_is_named_where_there_is_one():
    message = refusal(measured, 14 * GIB, fraction=0.4)
    raised = number(r"or raise mem_fraction_static from 0\.4 to ([\d.]+)", message)
    assert measured(14 * GIB, fraction=raised).num_tokens >= 40960
    refusal(measured, 14 * GIB, fraction=raised - 0.001)
    assert "raise mem_fraction_static" not in refusal(measured, 5.5 * GIB)


def test_sizes_of_steps_are_named_as_far_as_they_free_what_is_missing():
    full_context, steps, reserve = 2560 * plan().kv_bytes_per_page, 1.5 * GIB, int(0.1 * TOTAL)
    enough = int(full_context + steps) + reserve
    assert measured(enough).num_tokens == 40960
    message = refusal(measured, enough - 256 * MIB)
    assert "lower max_running_requests from 512 to about 256" in message
    assert "lower cuda_graph_max_bs from 256 to about 192" in message
    message = refusal(measured, enough - 768 * MIB)
    assert "max_running_requests" not in message
    assert "lower cuda_graph_max_bs from 256 to about 64" in message


def test_a_pool_that_was_asked_for_may_be_smaller_than_the_context():
    asked = measured(max_total_tokens=1600)
    assert asked.num_tokens == 1600
    refuse_too_little(asked)


OUT_OF_MEMORY = (
    "CUDA out of memory. Tried to allocate 1.50 GiB. GPU 0 has a total capacity of 8.00 GiB of "
    "which 1.00 MiB is free."
)


def test_out_of_memory_is_explained_by_the_plan():
    planned = measured(14 * GIB)
    text = explain_out_of_memory(RuntimeError(OUT_OF_MEMORY), planned)
    assert text.startswith("cuda:0 is out of memory: 1.50 GiB more were wanted. Of 16.00 GiB")
    assert "weights 1.11 GiB, KV pool " in text
    assert "graphs 1.00 GiB, largest step 512.00 MiB. Lower" in text
    fraction = number(r"mem_fraction_static from 0\.9 to ([\d.]+)", text)
    smaller = measured(14 * GIB, fraction=fraction, context_length=1000)
    freed = planned.kv_bytes - smaller.kv_bytes
    assert 1.5 * GIB <= freed < 1.5 * GIB + 32 * MIB


def test_out_of_memory_with_a_pool_that_was_asked_for_names_its_option():
    planned = measured(14 * GIB, max_total_tokens=20_000)
    text = explain_out_of_memory(RuntimeError(OUT_OF_MEMORY), planned)
    tokens = int(number(r"Lower max_total_tokens to ([\d,]+)", text))
    freed = planned.kv_bytes - measured(14 * GIB, max_total_tokens=tokens).kv_bytes
    assert 1.5 * GIB <= freed < 1.5 * GIB + 2 * planned.kv_bytes_per_page


def test_out_of_memory_without_numbers_is_explained_as_well():
    text = explain_out_of_memory(RuntimeError("CUDA error: out of memory"), measured(14 * GIB))
    assert "more was wanted than there is" in text and "mem_fraction_static from 0.9 to" in text
    small = measured(14 * GIB, max_total_tokens=16)
    text = explain_out_of_memory(RuntimeError(OUT_OF_MEMORY), small)
    assert "Free memory that other programs have" in text

import re

from sglite.make_model.presets import preset_config
from sglite.memory import MemoryFacts, plan_memory, render_memory_plan
from sglite.models.hf_config import HFConfig
from sglite.models.registry import spec_from_hf

GIB = 1 << 30
SPEC = spec_from_hf(HFConfig.from_dict(preset_config("qwen3", "0.6b", {})))


def render(available, **options):
    return render_memory_plan(plan_memory(SPEC, facts=MemoryFacts(available, available), **options))


def test_the_table_names_every_figure():
    lines = render(16 * GIB, context_length=4096, concurrency=8).splitlines()
    table = {name: rest for name, *rest in (re.split(r"\s{2,}", line) for line in lines)}
    assert "16.00 GiB" in table["available"][0]
    assert "1.11 GiB" in table["weights"][0]
    assert "112.00 KiB" in table["KV per token"][0]
    assert "1.75 MiB" in table["KV per page"][0]
    assert "3.50 GiB" in table["KV pool"][0]
    assert "max_running_requests" in table["KV pool"][-1]
    assert "32,768" in table["tokens in the pool"][0]
    assert "8.0" in table["full contexts"][0]
    assert "4,096" in table["tokens per request"][0]
    assert all(len(line) < 100 for line in lines)


def test_a_pool_smaller_than_the_context_comes_with_advice():
    text = render(3 * GIB, context_length=40960, concurrency=2)
    assert "does not fit" in text
    assert "set context_length to" in text
    assert "does not fit" not in render(16 * GIB, context_length=4096)


def test_one_is_singular():
    text = render(16 * GIB, context_length=4096, max_total_tokens=1, page_size=1)
    assert " 1 page, bound by" in text and text.count(" 1 token\n") == 1


def test_a_gpu_has_a_row_for_its_graphs_and_the_share_is_of_all_memory():
    options = {"context_length": 4096, "concurrency": 256, "device": "cuda:0", "graph_rows": 64}
    text = render(16 * GIB, **options)
    assert "graphs " in text and "free of 16.00 GiB on cuda:0" in text
    assert "bound by mem_fraction_static 0.9 of all memory" in text
    assert text.count("estimated") == 2
    assert "graphs" not in render(16 * GIB)

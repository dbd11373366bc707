import logging

import pytest

from sglite.config import EngineConfig
from sglite.config_resolve import HardwareFacts, contradictions, detect_hardware, resolve
from sglite.errors import ConfigError


def test_open_values_are_settled_in_a_new_object():
    config = EngineConfig(model_path="m")
    settled = resolve(config, HardwareFacts())
    assert (settled.device, settled.mem_fraction_static, settled.tokenizer_path) == (
        "cpu",
        0.5,
        "m",
    )
    assert config.mem_fraction_static is None
    assert settled.dtype == "auto" and settled.context_length is None


def test_values_given_are_kept():
    config = EngineConfig(model_path="m", tokenizer_path="t", device="mps", mem_fraction_static=0.9)
    assert resolve(config, HardwareFacts(has_mps=True)) == config


def test_every_choice_is_logged_with_its_reason(caplog):
    with caplog.at_level(logging.DEBUG):
        resolve(EngineConfig(), HardwareFacts())
    fields = [record.fields for record in caplog.records if record.message == "option_settled"]
    assert [next(iter(each)) for each in fields] == ["device", "mem_fraction_static"]
    assert all(each["reason"] for each in fields)


def test_only_a_choice_that_may_surprise_is_told_above_debug(caplog):
    with caplog.at_level(logging.INFO):
        resolve(EngineConfig(), HardwareFacts())
        assert caplog.records == []
        resolve(EngineConfig(), HardwareFacts(has_mps=True))
    (record,) = caplog.records
    assert record.fields["device"] == "cpu"


def test_device_that_is_not_there_is_refused():
    with pytest.raises(ConfigError, match="'mps' is not available"):
        resolve(EngineConfig(device="mps"), HardwareFacts())


@pytest.mark.parametrize("kv_dtype", ["int8", "fp8_e4m3"])
def test_kv_of_8_bits_is_for_the_cpu(kv_dtype):
    facts = HardwareFacts(has_mps=True)
    with pytest.raises(ConfigError, match=f"^kv_cache_dtype: '{kv_dtype}' is for device cpu.*mps"):
        resolve(EngineConfig(device="mps", kv_cache_dtype=kv_dtype), facts)
    assert resolve(EngineConfig(kv_cache_dtype=kv_dtype), facts).kv_cache_dtype == kv_dtype


def test_options_without_effect_are_named(caplog):
    config = EngineConfig(
        disable_radix_cache=True,
        radix_cache_max_tokens=4,
        chunked_prefill_size=8,
        target_itl_ms=50.0,
        skip_tokenizer_init=True,
        chat_template="x",
    )
    names = [text.split()[0] for text in contradictions(config)]
    assert names == ["radix_cache_max_tokens", "target_itl_ms", "chat_template"]
    assert contradictions(EngineConfig()) == []
    with caplog.at_level(logging.WARNING):
        resolve(config, HardwareFacts())
    assert [record.message for record in caplog.records] == ["option_without_effect"] * 3


def test_hardware_of_this_machine_is_found():
    assert isinstance(detect_hardware().has_mps, bool)


def test_num_pages_settles_the_pool():
    settled = resolve(EngineConfig(num_pages=7, page_size=32), HardwareFacts())
    assert settled.max_total_tokens == 224


def test_num_pages_beside_max_total_tokens_is_pointed_out():
    both = EngineConfig(num_pages=7, max_total_tokens=100)
    assert contradictions(both) == ["max_total_tokens (num_pages is set)"]

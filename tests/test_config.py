import dataclasses

import pytest

from sglite.config import (
    AcceleratorOptions,
    CacheOptions,
    EngineConfig,
    GrammarOptions,
    ModelOptions,
    RequestOptions,
    RouterConfig,
    RuntimeOptions,
    SchedulerOptions,
    ServerConfig,
    ServerOptions,
)
from sglite.config_fields import option_fields
from sglite.config_parallel import (
    ParallelOptions,
    ReplicaOptions,
    RouterOptions,
    RoutingOptions,
)
from sglite.config_shared import ListenOptions, LogOptions
from sglite.errors import ConfigError

GROUPS = (
    ParallelOptions,
    ModelOptions,
    CacheOptions,
    SchedulerOptions,
    AcceleratorOptions,
    RequestOptions,
    GrammarOptions,
    RuntimeOptions,
)
FIELDS = option_fields(ServerConfig)
ROUTER_FIELDS = option_fields(RouterConfig)


@pytest.mark.parametrize("field", (FIELDS | ROUTER_FIELDS).values(), ids=lambda field: field.name)
def test_every_option_has_a_help_text_and_an_allowed_default(field):
    assert len(field.help) > 15 and field.help.endswith(".")
    assert field.check(field.default) == field.default
    assert field.limits.describe() == "" or field.kind in (int, float)


def test_every_field_is_an_option_of_exactly_one_group():
    engine = sorted(name for group in GROUPS for name in option_fields(group))
    assert engine == sorted(field.name for field in dataclasses.fields(EngineConfig))
    groups = (ServerOptions, RoutingOptions, ReplicaOptions)
    server = [name for group in groups for name in option_fields(group)]
    assert sorted([*engine, *server]) == sorted(FIELDS)
    groups = (RouterOptions, RoutingOptions, ListenOptions, LogOptions)
    router = [name for group in groups for name in option_fields(group)]
    assert sorted(router) == sorted(option_fields(RouterConfig))


def test_secrets_are_neither_shown_nor_handed_to_the_engine():
    config = ServerConfig(api_key="hidden", admin_api_key="hidden", page_size=4)
    assert "hidden" not in repr(config) + str(config.to_public_dict())
    assert config.engine_config() == EngineConfig(page_size=4)
    with pytest.raises(ConfigError) as caught:
        ServerConfig(api_key=271828)
    assert "271828" not in str(caught.value)


def test_no_two_options_share_a_spelling():
    spellings = [keyword for f in (FIELDS | ROUTER_FIELDS).values() for keyword in f.keywords]
    assert len(spellings) == len(set(spellings))


def test_groups_can_stand_alone_and_check_their_values():
    assert CacheOptions(page_size=1).page_size == 1
    with pytest.raises(ConfigError, match=r"page_size: 0 is not allowed.*at least 1"):
        CacheOptions(page_size=0)


def test_keywords_and_sglang_spellings_reach_their_option():
    config = EngineConfig.from_kwargs(
        model="m", tp=1, schedule_heuristic="fifo", gpu_memory_utilization=1, dtype="half"
    )
    assert (config.model_path, config.tp_size, config.schedule_policy) == ("m", 1, "fcfs")
    assert (config.mem_fraction_static, config.dtype) == (1.0, "float16")


def test_unknown_keyword_names_the_nearest():
    with pytest.raises(
        ConfigError, match="pagesize is not an option; the nearest one is page_size"
    ):
        EngineConfig.from_kwargs(pagesize=4)


def test_config_keyword_names_a_file_that_yields_to_keywords(tmp_path):
    path = tmp_path / "options.json"
    path.write_text('{"page_size": 4, "max-in-flight": 2}')
    config = EngineConfig.from_kwargs(config=path, page_size=8)
    assert (config.page_size, config.max_in_flight) == (8, 2)


def test_to_dict_rebuilds_the_config():
    config = EngineConfig(page_size=4, device="cpu")
    assert EngineConfig(**config.to_dict()) == config
    assert next(iter(config.to_dict())) == "model_path"


def test_replace_checks_again():
    assert EngineConfig().replace(page_size=2).page_size == 2
    with pytest.raises(ConfigError):
        EngineConfig().replace(page_size="2")

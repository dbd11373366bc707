"""Info routes: what SGLang's clients read is there, and no secret is."""

from __future__ import annotations

import asyncio

import pytest

from sglite.server.app import build_app
from sglite.server.native import model_info
from sglite.server.native.model_info import TokenRate
from tests.server.asgi import client
from tests.server.fake_engine import make_front
from tests.server.fake_fleet import make_fleet_front


def get(path, *, controls=None, is_alive=True, headers=None, **options):
    async def main():
        front = make_front(**options)
        front.engine.controls |= controls or {}
        front.engine.is_alive = is_alive
        async with client(build_app(front, [model_info])) as http:
            response = await http.get(path, headers=headers)
        return front, response

    return asyncio.run(main())


@pytest.mark.parametrize("path", ["/model_info", "/get_model_info"])
def test_model_info_has_what_clients_rely_on(path):
    front, response = get(path)
    info = response.json()
    assert info["model_path"] == info["tokenizer_path"] == front.model_directory
    assert info["is_generation"] is True
    assert info["model_type"] == "qwen3"
    assert info["architectures"] == ["Qwen3ForCausalLM"]
    assert info["weight_version"] == "default"


@pytest.mark.parametrize("path", ["/model_info", "/server_info"])
def test_parsers_are_told_as_they_were_settled(path):
    _, response = get(path)
    info = response.json()
    assert (info["tool_call_parser"], info["reasoning_parser"]) == ("hermes", "qwen3")
    _, response = get(path, tool_call_parser="none", reasoning_parser="none")
    info = response.json()
    assert (info["tool_call_parser"], info["reasoning_parser"]) == (None, None)


def test_served_name_and_model_path_are_reported_as_given():
    _, response = get("/model_info", served_model_name="tiny", model_path="org/tiny")
    info = response.json()
    assert (info["served_model_name"], info["model_path"]) == ("tiny", "org/tiny")


@pytest.mark.parametrize("path", ["/server_info", "/get_server_info"])
def test_server_info_has_options_state_and_internal_states(path):
    front, response = get(path, controls={"stats": lambda: {"num_output_tokens": 5}}, page_size=32)
    info = response.json()
    assert info["status"] == "ready"
    assert info["page_size"] == 32
    assert info["max_total_num_tokens"] == front.limits.pool_tokens
    assert info["max_req_input_len"] == 1023
    assert info["startup_time"] == 0.1
    (state,) = info["internal_states"]
    assert state["last_gen_throughput"] == 0.0
    assert state["memory_usage"]["token_capacity"] == front.limits.pool_tokens
    assert state["effective_max_running_requests_per_dp"] == 256
    assert state["stats"] == {"num_output_tokens": 5}


def test_no_key_is_shown():
    headers = {"Authorization": "Bearer user-secret"}
    _, response = get(
        "/server_info", headers=headers, api_key="user-secret", admin_api_key="admin-secret"
    )
    assert response.status_code == 200
    assert "secret" not in response.text


def test_options_are_shown_as_the_engine_settled_them():
    async def main():
        front = make_front()
        front.engine.ready = type(front.engine.ready)(
            **{
                name: getattr(front.engine.ready, name)
                for name in front.engine.ready.__struct_fields__
                if name != "config"
            },
            config={"dtype": "float32", "device": "cpu", "unheard_of": 1},
        )
        return model_info.shown_options(front)

    options = asyncio.run(main())
    assert (options["dtype"], options["device"]) == ("float32", "cpu")
    assert "unheard_of" not in options


def test_a_dead_engine_still_has_its_options():
    _, response = get("/server_info", is_alive=False)
    info = response.json()
    assert info["status"] == "starting"
    assert info["internal_states"][0]["stats"] == {}


def test_loads_in_both_words():
    load = {
        "num_running_requests": 3,
        "num_waiting_requests": 2,
        "num_waiting_tokens": 50,
        "num_used_tokens": 1024,
        "num_total_tokens": 4096,
    }
    (entry,) = get("/v1/loads", controls={"loads": lambda: load})[1].json()["loads"]
    assert (entry["num_running_reqs"], entry["num_waiting_reqs"]) == (3, 2)
    assert entry["token_usage"] == 0.25
    assert get("/get_load", controls={"loads": lambda: load})[1].json() == [
        {"dp_rank": 0, "num_reqs": 5, "num_waiting_reqs": 2, "num_tokens": 1074}
    ]


def test_rate_is_that_between_two_looks_far_enough_apart():
    rate = TokenRate()
    assert rate.update(100, 10.0) == 0.0
    assert rate.update(150, 10.1) == 0.0
    assert rate.update(300, 12.0) == 100.0
    assert rate.update(300, 12.1) == 100.0
    assert rate.update(0, 14.0) == 0.0  # the engine began anew


def ask_fleet(path, loads):
    """The JSON of ``path`` where each engine's loads and stats are ``loads``; None: it has died."""

    async def main():
        front, engines = await make_fleet_front(len(loads))
        for engine, load in zip(engines, loads, strict=True):
            if load is None:
                engine.die()
                await asyncio.sleep(0)
            engine.controls |= {"loads": lambda load=load: load, "stats": lambda load=load: load}
        async with client(build_app(front, [model_info])) as http:
            return await http.get(path)

    return asyncio.run(main())


BUSY = {"num_running_requests": 2, "num_waiting_requests": 1, "num_total_tokens": 64}
IDLE = {"num_running_requests": 0, "num_waiting_requests": 0, "num_total_tokens": 32}


def test_loads_are_told_of_each_engine():
    told = ask_fleet("/v1/loads", [BUSY, IDLE]).json()
    assert told["dp_rank_count"] == 2
    assert [entry["dp_rank"] for entry in told["loads"]] == [0, 1]
    assert [entry["num_running_reqs"] for entry in told["loads"]] == [2, 0]
    assert [entry["max_total_num_tokens"] for entry in told["loads"]] == [64, 32]
    older = ask_fleet("/get_load", [BUSY, IDLE]).json()
    assert [(entry["dp_rank"], entry["num_reqs"]) for entry in older] == [(0, 3), (1, 0)]


def test_an_engine_that_has_ended_is_left_out():
    assert [each["dp_rank"] for each in ask_fleet("/get_load", [None, IDLE]).json()] == [1]
    assert ask_fleet("/get_load", [None]).status_code == 503


def test_server_info_counts_the_engines():
    info = ask_fleet("/server_info", [BUSY, IDLE]).json()
    assert info["dp_size"] == 2 and info["status"] == "ready"
    states = [(state["dp_rank"], state["stats"]) for state in info["internal_states"]]
    assert states == [(0, BUSY), (1, IDLE)]
    assert ask_fleet("/server_info", [None]).json()["internal_states"] == []

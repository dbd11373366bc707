from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from sglite.errors import RequestError
from sglite.server.app import build_app
from sglite.server.front import Front
from sglite.server.http.error_table import HttpError
from sglite.server.openai import models as openai_models
from tests.server.asgi import client
from tests.server.fake_engine import make_front

Ask = Callable[[httpx.AsyncClient, Front], Awaitable[Any]]


def with_client(ask: Ask, **options: Any) -> Any:
    async def run() -> Any:
        front = make_front(**options)
        async with client(build_app(front, [openai_models])) as http:
            return await ask(http, front)

    return asyncio.run(run())


async def listed(http: httpx.AsyncClient, front: Front) -> Any:
    return (await http.get("/v1/models")).json()


def test_the_card_names_the_model_its_directory_and_its_length():
    answer = with_client(listed, served_model_name="mine")
    [card] = answer["data"]
    assert answer["object"] == "list"
    assert card["id"] == "mine"
    assert card["object"] == "model"
    assert card["max_model_len"] == 1024
    assert card["root"].endswith("embedded")
    assert card["parent"] is None


def test_without_a_name_the_id_is_a_path_that_tokenizers_load_from():
    [card] = with_client(listed)["data"]
    assert card["id"] == card["root"]


def test_an_id_with_slashes_is_found():
    async def ask(http: httpx.AsyncClient, front: Front) -> Any:
        quoted = front.model_directory.replace("/", "%2F")
        plain = await http.get(f"/v1/models/{front.model_directory}")
        return plain, await http.get(f"/v1/models/{quoted}"), front.model_directory

    plain, quoted, name = with_client(ask)
    assert plain.status_code == quoted.status_code == 200
    assert plain.json()["id"] == quoted.json()["id"] == name


def test_an_unknown_id_is_404_model_not_found():
    async def ask(http: httpx.AsyncClient, front: Front) -> Any:
        return await http.get("/v1/models/gpt-9")

    answer = with_client(ask)
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "model_not_found"
    assert answer.json()["code"] == 404


def names(asked: object, **options: Any) -> str:
    async def run() -> str:
        return openai_models.model_name(make_front(**options), asked)

    return asyncio.run(run())


@pytest.mark.parametrize("asked", ["anything", "a/b", "mine"])
def test_any_name_is_served_and_echoed(asked):
    assert names(asked, served_model_name="mine") == asked


@pytest.mark.parametrize("asked", [None, ""])
def test_no_name_means_the_served_one(asked):
    assert names(asked, served_model_name="mine", strict_model_name=True) == "mine"


def test_a_strict_server_refuses_other_names():
    assert names("mine", served_model_name="mine", strict_model_name=True) == "mine"
    with pytest.raises(HttpError, match="'other' does not exist") as caught:
        names("other", served_model_name="mine", strict_model_name=True)
    assert (caught.value.status, caught.value.code) == (404, "model_not_found")


@pytest.mark.parametrize("asked", [5, True, [], {}, "x" * 2000])
def test_a_name_is_a_string_of_some_length(asked):
    with pytest.raises(RequestError) as caught:
        names(asked)
    assert caught.value.param == "model"

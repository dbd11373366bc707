"""Control routes: SGLang's texts, the engine's operations, paths that stay where they belong."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from sglite.errors import RequestError
from sglite.server.app import build_app
from sglite.server.native import control
from sglite.server.native.control import read_profile
from tests.server.asgi import client
from tests.server.fake_engine import make_front


def call(method, path, *, controls=None, peer=("127.0.0.1", 1), options=None, **request):
    """The response and what the engine was asked."""

    async def main():
        front = make_front(**options or {})
        front.engine.controls |= controls or {}
        async with client(build_app(front, [control]), peer=peer) as http:
            response = await http.request(method, path, **request)
        return response, front.engine.controlled

    return asyncio.run(main())


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_flush_answers_in_sglangs_words(method):
    response, asked = call(method, "/flush_cache", controls={"flush_cache": lambda timeout_s: True})
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain")
    assert response.text == (
        "Cache flushed.\nPlease check backend logs for more details. (When there are running or "
        "waiting requests, the operation will not be performed.)\n"
    )
    assert asked == [("flush_cache", {"timeout_s": 0.0})]


def test_flush_waits_as_long_as_it_was_told_and_says_when_it_was_not_possible():
    controls = {"flush_cache": lambda timeout_s: False}
    response, asked = call("POST", "/flush_cache?timeout=60", controls=controls)
    assert response.status_code == 400
    assert "not flushed" in response.text
    assert asked == [("flush_cache", {"timeout_s": 60.0})]


@pytest.mark.parametrize("timeout", ["-1", "nan", "inf", "1e400", "x", "", "601", "1" * 999])
def test_bad_time_to_wait_is_a_400(timeout):
    response, asked = call("POST", f"/flush_cache?timeout={timeout}")
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "timeout"
    assert asked == []


@pytest.mark.parametrize(
    ("body", "mode"),
    [(None, "abort"), ({}, "abort"), ({"mode": "retract"}, "retract"), ({"mode": None}, "abort")],
)
def test_pause_and_continue(body, mode):
    response, asked = (
        call("POST", "/pause_generation", json=body)
        if body is not None
        else call("POST", "/pause_generation")
    )
    assert response.json() == {"message": "Generation paused successfully.", "status": "ok"}
    assert asked == [("pause", {"mode": mode})]
    response, asked = call("POST", "/continue_generation", json={"torch_empty_cache": True})
    assert response.json() == {"message": "Generation continued successfully.", "status": "ok"}
    assert asked == [("resume", {})]


@pytest.mark.parametrize("mode", ["stop", 1, [], {}, True])
def test_unknown_mode_is_a_400(mode):
    response, asked = call("POST", "/pause_generation", json={"mode": mode})
    assert (response.status_code, response.json()["error"]["param"]) == (400, "mode")
    assert asked == []


@pytest.mark.parametrize(
    "path", ["/flush_cache", "/pause_generation", "/continue_generation", "/start_profile"]
)
def test_all_need_control_access(path):
    response, asked = call("POST", path, peer=("10.0.0.9", 1))
    assert response.status_code == 403
    assert asked == []


# -- profiles --------------------------------------------------------------------------------------


def test_profile_goes_into_the_profile_directory(tmp_path):
    body = {"num_steps": "5", "output_dir": "run/1", "activities": ["CPU", "GPU"]}
    options = {"profile_dir": str(tmp_path)}
    response, ((name, settings),) = call("POST", "/start_profile", json=body, options=options)
    assert response.text == "Start profiling.\n"
    assert name == "start_profile"
    assert settings["num_steps"] == 5
    path = Path(settings["path"])
    assert path.parent == tmp_path / "run" / "1"
    assert path.parent.is_dir()
    response, asked = call("GET", "/stop_profile", options=options)
    assert response.text == "Stop profiling. This will take some time.\n"
    assert asked == [("stop_profile", {})]


def test_profile_without_a_directory_is_refused():
    response, asked = call("POST", "/start_profile")
    assert response.status_code == 400
    assert "--profile-dir" in response.json()["message"]
    assert asked == []


@pytest.mark.parametrize("outside", ["..", "../x", "/etc", "a/../../b", "link/x", "a\0b", "", 5])
def test_profiles_do_not_leave_their_directory(tmp_path, outside):
    inside = tmp_path / "profiles"
    inside.mkdir()
    os.symlink(tmp_path, inside / "link")
    with pytest.raises(RequestError) as caught:
        read_profile({"output_dir": outside}, str(inside), file_name="f")
    assert caught.value.param == "output_dir"


def test_absolute_path_inside_and_a_prefix(tmp_path):
    body = {"output_dir": str(tmp_path / "a"), "profile_prefix": "run-1", "start_step": "0"}
    settings = read_profile(body, str(tmp_path), file_name="f.json")
    assert settings == {"path": str(tmp_path.resolve() / "a" / "run-1-f.json")}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"num_steps": 0}, "num_steps"),
        ({"num_steps": "x"}, "num_steps"),
        ({"num_steps": True}, "num_steps"),
        ({"num_steps": 10**20}, "num_steps"),
        ({"num_steps": "99999"}, "num_steps"),
        ({"start_step": "3"}, "start_step"),
        ({"start_step": -1}, "start_step"),
        ({"profile_prefix": "../x"}, "profile_prefix"),
        ({"profile_prefix": "."}, "profile_prefix"),
        ({"activities": "CPU"}, "activities"),
        ({"activities": ["TPU"]}, "activities"),
        ({"activities": [[]]}, "activities"),
        ({"with_stack": 5}, "with_stack"),
        ({"record_shapes": []}, "record_shapes"),
        ({"profile_by_stage": True}, "profile_by_stage"),
    ],
)
def test_bad_profile_settings_are_named(tmp_path, body, param):
    response, asked = call(
        "POST", "/start_profile", json=body, options={"profile_dir": str(tmp_path)}
    )
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param
    assert asked == []


def test_directory_that_cannot_be_made_is_a_400(tmp_path):
    (tmp_path / "file").write_text("")
    response, asked = call(
        "POST",
        "/start_profile",
        json={"output_dir": "file/x"},
        options={"profile_dir": str(tmp_path)},
    )
    assert (response.status_code, response.json()["error"]["param"]) == (400, "output_dir")
    assert asked == []

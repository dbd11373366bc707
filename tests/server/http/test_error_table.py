import json

import pytest

from sglite import errors
from sglite.errors import CapacityError, EngineDeadError, NotReadyError, RequestError, SgliteError
from sglite.server.http.body import BodyError
from sglite.server.http.error_table import (
    ERRORS,
    HttpError,
    error_body,
    error_response,
    row_for,
    stream_error,
)
from tests.server.asgi import events

NOT_FOR_CALLERS = {"ConfigError", "ModelLoadError", "RemoteError"}
"""Raised by programs that start or call a server."""


def test_every_error_that_reaches_callers_has_a_row_of_its_own():
    ours = {each for each in vars(errors).values() if isinstance(each, type)}
    without = {each.__name__ for each in ours - ERRORS.keys() if issubclass(each, SgliteError)}
    assert without <= NOT_FOR_CALLERS


@pytest.mark.parametrize(
    ("error", "status", "type_", "code", "flat_type"),
    [
        (RequestError("bad", param="n"), 400, "invalid_request_error", None, "BadRequestError"),
        (BodyError("bad"), 400, "invalid_request_error", None, "BadRequestError"),
        (BodyError("big", status=413), 413, "invalid_request_error", None, "BadRequestError"),
        (CapacityError("full"), 429, "rate_limit_error", "overloaded", "RateLimitError"),
        (NotReadyError("soon"), 503, "server_error", "not_ready", "ServiceUnavailableError"),
        (EngineDeadError("gone"), 503, "server_error", "engine_dead", "ServiceUnavailableError"),
        (
            HttpError("no model", status=404, code="model_not_found"),
            404, "not_found_error", "model_not_found", "NotFoundError",
        ),
        (KeyError("x"), 500, "server_error", "internal_error", "InternalServerError"),
    ],
)  # fmt: skip
def test_both_shapes_at_once(error, status, type_, code, flat_type):
    answer = error_response(error, request_id="id-1")
    body = json.loads(answer.body)
    assert answer.status_code == status == row_for(error).status == body["code"]
    assert body["object"] == "error"
    assert body["message"] == body["error"]["message"]
    assert body["param"] == body["error"]["param"] == getattr(error, "param", None)
    assert (body["error"]["type"], body["error"]["code"], body["type"]) == (type_, code, flat_type)


def test_a_fault_says_nothing_but_the_id():
    body = error_body(ValueError("secret /path"), request_id="id-1")
    assert (
        body["message"] == "the server failed on this request (request id-1); its log has the cause"
    )
    assert "secret" not in json.dumps(body)


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (CapacityError("full", retry_after_s=2.2), "3"),
        (CapacityError("full"), "1"),
        (NotReadyError("soon", retry_after_s=0.01), "1"),
        (EngineDeadError("gone"), "1"),
        (HttpError("stop", status=503, headers={"Retry-After": "5"}), "5"),
        (RequestError("bad"), None),
    ],
)
def test_retry_after_comes_with_every_429_and_503_in_whole_seconds(error, seconds):
    assert error_response(error).headers.get("retry-after") == seconds


def test_error_in_a_stream_is_an_event_and_then_done():
    error, done = events(stream_error(RequestError("bad", param="n")).decode())
    assert error["error"] == {
        "message": "bad", "type": "invalid_request_error", "param": "n", "code": 400,
        "retryable": False,
    }  # fmt: skip
    assert done == "[DONE]"
    retryable = events(stream_error(CapacityError("full")).decode())[0]["error"]
    assert retryable["retryable"] is True
    assert retryable["code"] == "overloaded"

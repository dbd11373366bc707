import pytest
from starlette.requests import Request

from sglite.server.http.request_ids import request_id_of, settle_request_id


def scope(*values):
    headers = [(b"x-request-id", value) for value in values]
    return {"type": "http", "method": "GET", "path": "/", "headers": headers}


def test_harmless_id_is_taken_over():
    call = scope(b"client-1")
    assert settle_request_id(call) == "client-1"
    assert request_id_of(Request(call)) == "client-1"


@pytest.mark.parametrize(
    "value", [b"", b"a b", b"a\r\nSet-Cookie: x", b"x" * 129, "é".encode(), b"\x00", b"a\t"]
)
def test_anything_else_is_replaced_by_our_own(value):
    made = settle_request_id(scope(value))
    assert len(made) == 32
    assert made.encode() != value


def test_our_own_ids_differ():
    assert settle_request_id(scope()) != settle_request_id(scope())


def test_a_call_without_an_id_has_an_empty_one():
    assert request_id_of(Request(scope())) == ""

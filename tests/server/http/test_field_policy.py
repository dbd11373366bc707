import pytest
from starlette.requests import Request

from sglite.errors import RequestError
from sglite.server.http.field_policy import asks_for_nothing, check_fields

KNOWN = {"text", "stream"}
UNSUPPORTED = {
    "lora_path": None,
    "best_of": 1,
    "log_metrics": True,
    "response_format": {"type": "x"},
}


def request(*, strict=False):
    headers = [(b"x-strict", b"1")] if strict else []
    return Request({"type": "http", "method": "POST", "path": "/", "headers": headers})


def check(body, *, strict=False):
    return check_fields(request(strict=strict), body, known=KNOWN, unsupported=UNSUPPORTED)


def test_known_fields_pass_and_unknown_ones_are_listed():
    assert check({"text": 1, "new_one": 2, "stream": 3, "other": None}) == ["new_one", "other"]


def test_strict_header_refuses_unknown_fields_by_name():
    assert check({"text": 1}, strict=True) == []
    with pytest.raises(RequestError, match="there is no field 'new_one'") as caught:
        check({"new_one": 2}, strict=True)
    assert caught.value.param == "new_one"


@pytest.mark.parametrize(
    "body",
    [
        {"lora_path": None}, {"lora_path": ""}, {"lora_path": []}, {"lora_path": False},
        {"best_of": 1}, {"best_of": 1.0}, {"best_of": None}, {"log_metrics": True},
        {"response_format": {"type": "x"}}, {"response_format": {}},
    ],
)  # fmt: skip
def test_what_asks_for_nothing_passes_and_is_not_listed(body):
    assert check(body) == []


@pytest.mark.parametrize(
    "body",
    [
        {"lora_path": "a"}, {"lora_path": 0}, {"best_of": 2}, {"best_of": True}, {"best_of": 0},
        {"log_metrics": 1}, {"response_format": {"type": "y"}},
    ],
)  # fmt: skip
def test_what_asks_for_something_is_refused_by_name(body):
    (name,) = body
    with pytest.raises(RequestError, match=f"^{name} is not supported") as caught:
        check(body)
    assert caught.value.param == name


def test_long_lists_and_names_are_cut():
    ignored = check({f"{'x' * 100}{number}": 1 for number in range(1000)})
    assert len(ignored) == 64
    assert all(len(name) == 64 for name in ignored)


def test_zero_may_mean_something():
    assert not asks_for_nothing(0, None)
    assert asks_for_nothing(0, 0)

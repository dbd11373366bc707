from __future__ import annotations

import msgspec
import pytest

from sglite.errors import CapacityError, EngineDeadError, RequestError
from sglite.ipc.messages import FromEngine, Refused


@pytest.mark.parametrize(
    "error",
    [
        RequestError("regex is bad", param="regex"),
        RequestError("bad"),
        CapacityError("full", retry_after_s=2.0),
        CapacityError("full"),
    ],
)
def test_a_refusal_is_the_same_error_on_the_other_side(error: Exception) -> None:
    frame = msgspec.msgpack.encode(Refused.of("r", error))
    refused = msgspec.msgpack.decode(frame, type=FromEngine)
    told = refused.to_error()
    assert (refused.request_id, type(told)) == ("r", type(error))
    assert (str(told), vars(told)) == (str(error), vars(error))


def test_any_other_error_is_one_of_room() -> None:
    told = Refused.of("r", EngineDeadError("gone")).to_error()
    assert isinstance(told, CapacityError) and str(told) == "gone"

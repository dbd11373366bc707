import io

import pytest

from sglite.cli.text_input import checked_text, read_text
from sglite.errors import ConfigError


@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])
def test_bytes_that_are_no_text_are_named_with_their_place(errors):
    stream = io.TextIOWrapper(io.BytesIO(b"a\xc3\xa9\xff"), encoding="utf-8", errors=errors)
    with pytest.raises(ConfigError, match=r"^standard input is not UTF-8 \(byte 0xff at 3\)$"):
        read_text(stream.read)


def test_text_passes():
    assert read_text(io.StringIO("Zürich\n").read) == "Zürich\n"
    assert checked_text("東京", source="--prompt") == "東京"

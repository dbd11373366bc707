import pytest

from sglite.errors import ConfigError
from sglite.memory.units import amount, parse_amount


@pytest.mark.parametrize(
    ("num_bytes", "text"),
    [
        (0, "0 B"),
        (1023, "1,023 B"),
        (1536, "1.50 KiB"),
        (1 << 30, "1.00 GiB"),
        (1 << 52, "4.00 PiB"),
        (1023 << 60, "1,023.00 EiB"),
        (1 << 100, "1.3e+30 B"),
    ],
)
def test_amounts_are_readable(num_bytes, text):
    assert amount(num_bytes) == text


@pytest.mark.parametrize(
    ("text", "num_bytes"),
    [
        ("141GB", 141 * 1000**3),
        ("80 GiB", 80 << 30),
        ("1.5g", 1_500_000_000),
        ("24576 MiB", 24 << 30),
        ("4096", 4096),
        (" 7 b ", 7),
    ],
)
def test_amounts_are_read(text, num_bytes):
    assert parse_amount(text) == num_bytes


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "80 Gibi", "1e9", "1.GB", "٣GB", "1" * 16])
def test_other_texts_are_no_amounts(text):
    with pytest.raises(ConfigError, match="is not an amount of memory; write it like 80GiB"):
        parse_amount(text)

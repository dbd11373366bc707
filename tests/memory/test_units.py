import pytest

from sglite.memory.units import amount


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

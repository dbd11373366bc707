from sglite.kernels.quantized_linear import QuantizedFormat
from sglite.models.quantization import Quantization


def test_options_say_which_matrices_have_how_many_bits():
    assert Quantization.of(None, 32) is None
    eight = Quantization.of("int8", 128)
    assert eight is not None and eight.name == "int8"
    assert eight.layers == eight.vocab == QuantizedFormat(8)
    four = Quantization.of("int4", 64)
    assert four is not None and four.name == "int4"
    assert four.format_of("layers.0.mlp.down") == QuantizedFormat(4, 64)
    for name in ("embed_tokens", "lm_head"):
        assert four.format_of(name) == QuantizedFormat(8)

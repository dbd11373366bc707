"""Which of a model's matrices have how many bits."""

from __future__ import annotations

from dataclasses import dataclass

from sglite.kernels.quantized_linear import QuantizedFormat

VOCAB_MATRICES = ("embed_tokens", "lm_head")


@dataclass(frozen=True, slots=True)
class Quantization:
    """Formats of the layers' matrices, and of the embedding and the head.

    Norms, biases and attention stay as they are.
    """

    layers: QuantizedFormat
    vocab: QuantizedFormat

    @property
    def name(self) -> str:
        """As the option ``quantization`` calls it."""
        return f"int{self.layers.bits}"

    def format_of(self, name: str) -> QuantizedFormat:
        """Of a matrix, by its name in the decoder."""
        return self.vocab if name in VOCAB_MATRICES else self.layers

    @staticmethod
    def of(option: str | None, group_size: int) -> Quantization | None:
        """What the options ``quantization`` and ``quantization_group_size`` ask for; None: nothing.

        With int4 the embedding and the head have 8 bits: a token's whole meaning and the choice
        among all tokens hang on single rows of them, and they are a small part of a large model.
        """
        eight_bits = QuantizedFormat(8)
        if option is None:
            return None
        layers = eight_bits if option == "int8" else QuantizedFormat(4, group_size)
        return Quantization(layers, eight_bits)

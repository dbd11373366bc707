"""What bindings.cpp shows to Python. Every array is on the CPU, contiguous and never copied."""

from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

import numpy
import torch

Array: TypeAlias = torch.Tensor | numpy.ndarray
Epilogue: TypeAlias = Literal["store", "add", "gated"]
Activation: TypeAlias = Literal["silu", "gelu", "gelu_pytorch_tanh"]

def instruction_sets() -> list[str]:
    """Those that run on this machine, the fastest first."""

def best_x_type(arg: str, /) -> Literal["bfloat16", "float32"]:
    """What an instruction set multiplies bfloat16 weights with. ValueError where it cannot run."""

def thread_source() -> str:
    """Whose threads run programs: ``torch's OpenMP runtime`` or ``own threads``."""

def pin_threads(cores: Sequence[int]) -> None:
    """Threads of programs but the calling one stay on their place in ``cores``; Linux only."""

def pack(source: Array, target: Array, first_panel: int, panel_step: int, num_threads: int) -> None:
    """Write the rows of a matrix, float32 or bfloat16, into panels of 16 from ``first_panel`` on.

    ``source``: [rows, inputs], its rows whole but maybe apart. ``target``: [panels * 16 * inputs]
    of either type. ValueError where they do not fit each other.
    """

def unpack(packed: Array, num_inputs: int, rows: Array, target: Array) -> None:
    """Write rows (int64 numbers) of a packed matrix into ``target``: [rows, inputs], float32."""

class QuantizedMatrix:
    """A matrix of 8 or 4 bits over ``packed``, uint8, whole panels (quantized.h)."""

    def __init__(self, packed: Array, num_inputs: int, bits: int, group_size: int) -> None:
        """``bits`` is 8, or 4 with a ``group_size`` of 32, 64 or 128; else ValueError."""

    def pack(
        self,
        instruction_set: str,
        source: Array,
        first_panel: int,
        panel_step: int,
        num_threads: int,
    ) -> None:
        """Quantise the rows of a matrix, float32 or bfloat16, into panels from ``first_panel`` on.

        The result is the same, bit for bit, whatever the instruction set.
        """

class SharedRanks:
    """Sums and copies among ranks of one machine over memory that they share (shared_ranks.h).

    All ranks make the same calls in the same order. RuntimeError where one of them is later than
    the timeout, or its process has ended; after that the object is of no use any more.
    """

    def __init__(self, region: Array, rank: int, num_ranks: int, timeout_s: float) -> None:
        """``region``: at least :meth:`region_bytes`, zeros at first, the same memory everywhere.

        ValueError where it is too small or there is no such rank.
        """

    @staticmethod
    def region_bytes(num_ranks: int) -> int:
        """Memory that so many ranks need."""

    def all_reduce(self, x: Array) -> None:
        """The sum over ranks, float32 or int64, in place: the same bits everywhere."""

    def broadcast(self, x: Array, source: int) -> None:
        """What rank ``source`` has, in place."""

    def gather(self, part: Array, joined: Array | None) -> None:
        """At rank 0 the ranks' parts ``[rows, n]`` side by side in ``joined`` [rows, ranks * n].

        Elsewhere ``joined`` is not read and may be None. A rank does not wait for rank 0.
        """

class Program:
    """Operations that are recorded once, with their buffers, and replayed by one call."""

    def __init__(
        self,
        instruction_set: str,
        num_threads: int,
        page_sizes: Sequence[int],
        windows: Sequence[int],
        groups_prefixes: bool,
    ) -> None:
        """``page_sizes`` and ``windows`` (in tokens): one of each per KV group."""

    def embed(self, table: Array, out: Array, size: int, first_id: int = 0) -> None:
        """Record: rows of a packed table for the step's tokens.

        The table's first row is that of ``first_id``; an id beyond the table gets zeros.
        """

    def norm(
        self, x: Array, weight: Array, out: Array, eps: float, of_samples: bool = False
    ) -> None:
        """Record: RMS norm. ``x`` and ``weight`` are float32, ``out`` of either type.

        ``of_samples``: of the rows of ``x`` that a step samples, one after the other.
        """

    def sample(self, x: Array, ids: Array, size: int) -> None:
        """Record: int64 next token of each sample's row of ``size`` logits, as the step draws.

        -1 where the largest logit is not finite or one of them is no number.
        """

    def linear(
        self,
        weight: Array,
        bias: Array | None,
        x: Array,
        out: Array,
        num_outputs: int,
        num_inputs: int,
        epilogue: Epilogue = "store",
        activation: Activation = "silu",
        of_samples: bool = False,
    ) -> None:
        """Record: a packed matrix times rows, or times as many as the step samples.

        ``gated`` has gate and up in alternating panels.
        """

    def quantized_embed(self, table: QuantizedMatrix, out: Array, first_id: int = 0) -> None:
        """Record: as :meth:`embed`, of a quantised table."""

    def quantize(
        self,
        x: Array,
        weight: QuantizedMatrix,
        codes: Array,
        scales: Array,
        sums: Array,
        of_samples: bool = False,
    ) -> None:
        """Record: rows of ``x``, float32 or bfloat16, become the integers that ``weight`` reads.

        ``codes``: int8 [rows, padded inputs], ``scales``: float32 [rows], ``sums``: int32 [rows,
        groups].
        """

    def quantized_linear(
        self,
        weight: QuantizedMatrix,
        bias: Array | None,
        codes: Array,
        scales: Array,
        sums: Array,
        out: Array,
        num_outputs: int,
        epilogue: Epilogue = "store",
        activation: Activation = "silu",
        of_samples: bool = False,
    ) -> None:
        """Record: a quantised matrix times rows of integers; ``out`` is float32."""

    def rotate(
        self,
        qkv: Array,
        q: Array,
        k_pool: Array,
        v_pool: Array,
        q_norm: Array | None,
        k_norm: Array | None,
        num_heads: int,
        num_kv_heads: int,
        head_dim: int,
        eps: float,
        scale: float,
        group: int,
    ) -> None:
        """Record: norm and rotation of queries and keys; keys and values go to the pool.

        Pools are float32, bfloat16, int8 with scales, or fp8_e4m3 as uint8: [blocks, KV heads,
        numbers of a block] (kv_block.h). ValueError where they or ``q`` do not fit.
        """

    def attend(
        self,
        q: Array,
        out: Array,
        k_pool: Array,
        v_pool: Array,
        num_heads: int,
        num_kv_heads: int,
        head_dim: int,
        group: int,
        softcap: float = 0.0,
    ) -> None:
        """Record: attention of the step's queries over the pages of their sequences.

        With a ``softcap`` above 0 a score becomes ``softcap * tanh(score / softcap)``.
        """

    def call(self, function: Callable[[int], object], of_samples: bool = False) -> None:
        """Record: ``function(number of rows)`` between operations, on the caller's thread.

        Of a step without rows (samples) it is not called. What it raises ends the step, and the
        replay raises it. It must not refer to the program: such a cycle is never freed.
        """

    def replay_rows(self, num_rows: int) -> None:
        """Run a program without embedding and attention over so many rows."""

    def replay(
        self,
        input_ids: Array,
        cos_sin: Array,
        cos_sin_rows: Array,
        offsets: Array,
        seq_lens: Array,
        page_tables: Sequence[Array],
        out_slots: Sequence[Array],
        sample_rows: Array,
        draw_floats: Array | None = None,
        draw_integers: Array | None = None,
        draw_samples: Array | None = None,
    ) -> None:
        """Run one step. ``page_tables`` [runs, pages] and ``out_slots`` [tokens]: per KV group.

        ``draw_floats`` [3, draws]: temperature (0: the likeliest), top_p, min_p;
        ``draw_integers`` [3, draws]: seed, top_k, position. Without them every draw is the
        likeliest token. ``draw_samples`` [draws] says which samples draw, ascending; without it all
        do. The others keep the token that they had. int64: ``input_ids``, ``out_slots``,
        ``draw_integers``; float32: ``cos_sin``, ``draw_floats``; the others int32.
        """

    def draw(
        self,
        samples: Array,
        floats: Array | None = None,
        integers: Array | None = None,
        legal: Array | None = None,
    ) -> None:
        """Draw tokens of some samples from the logits that the last step left.

        The first three are as ``draw_samples``, ``draw_floats`` and ``draw_integers`` of
        :meth:`replay`. ``legal`` [draws, ceil(V / 32)] are masks, int32: bit v % 32 of word
        v // 32 says that token v is legal. -1 also where no legal token is above -inf. ValueError
        where sizes do not fit or a sample is none of the recording's.
        """

    def num_ops(self) -> int:
        """How many operations are recorded."""

    def num_grouped_tokens(self) -> int:
        """Pairs of query and segment in the last run, less one per query; 0: nothing shared."""

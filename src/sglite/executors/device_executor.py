"""Carries out plans on an accelerator, which is always a step or two behind the host.

Nothing here waits for the device but ``collect``, and staging where it is three copies ahead.
Tokens that the next step needs stay on the device; the host gets a copy of them when it asks. A
step of single tokens is one replay of a captured graph, any other step runs the same functions
eagerly (``device_step``).

Where a model is divided among ranks each of them does this with its share. Rank 0 draws and
samples; the others compute their parts of the logits, and get its tokens on the device.

Shape legend: T tokens packed, S sampled runs, R runs, C chunks, L rows left to the sampler,
V vocab. See docs/shapes.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from sglite.attention.backend import AttentionBackend, HostRuns
from sglite.attention.parted import Part
from sglite.device import Device, Event, Layout, Staging
from sglite.device.upload import upload
from sglite.errors import RankLostError
from sglite.executors.decode_graphs import DecodeGraphs
from sglite.executors.device_agreement import PARTED, DeviceAgreement
from sglite.executors.device_arrays import run_offsets, token_arrays
from sglite.executors.device_rows import DeviceRows
from sglite.executors.device_step import DeviceParts, DeviceStep, RunShape
from sglite.executors.forward_batch import Int32Array
from sglite.sampling import (
    PromptScores,
    RowMasks,
    SampleOutput,
    Sampler,
    TokenMasks,
    logits_chunk_rows,
    prompt_logprobs,
)
from sglite.scheduler.plan import PromptLogprobSpan, StepPlan, StepResult

if TYPE_CHECKING:
    from sglite.kvcache.kv_pool import KVPool
    from sglite.models.decoder import Decoder
    from sglite.models.piecewise_decoder import PiecewiseDecoder


@dataclass(frozen=True, slots=True)
class GroupBackends:
    """The attention of one KV group: of single tokens, and of longer runs."""

    decode: AttentionBackend
    prefill: AttentionBackend


@dataclass(slots=True)
class SampledLate:
    """Rows whose tokens come from the sampler: their entries, and its output, packed."""

    entries: list[int]
    output: SampleOutput | None = None
    packed: torch.Tensor | None = None


@dataclass(slots=True)
class DeviceHandle:
    """A launched step. ``words`` are its results on the host once ``done`` was waited for."""

    plan: StepPlan
    step: DeviceStep | None
    offsets: Int32Array
    launched_s: float
    words: torch.Tensor | None = None
    done: Event | None = None
    late: SampledLate | None = None
    prompt_scores: list[PromptScores] = field(default_factory=list)


class DeviceExecutor:
    """One model on one device: implements ``Executor`` for several steps in flight.

    ``graph_sizes`` are batch sizes whose decode steps are captured; none are where a backend cannot
    be, or angles depend on the length of a sequence. Other steps of few tokens go through
    ``pieces``, where there are any.
    """

    def __init__(
        self,
        model: Decoder,
        kv_pool: KVPool,
        device: Device,
        backends: list[GroupBackends],
        *,
        max_rows: int,
        max_tokens: int,
        graph_sizes: list[int],
        pieces: PiecewiseDecoder | None = None,
        check: bool = False,
        explain_out_of_memory: Callable[[BaseException], str] = str,
    ) -> None:
        self._explain_out_of_memory = explain_out_of_memory
        self._model = model
        self._device = device
        self._backends = backends
        self._check = check
        self._rows = DeviceRows(
            kv_pool,
            vocab_size=model.spec.vocab_size,
            max_rows=max_rows,
            max_pages=-(-max_tokens // kv_pool.page_size) + 1,
            device=device,
        )
        self._sampler = Sampler(self._rows.sampling)
        self.pieces = pieces
        self._most_in_pieces = max(pieces.buckets, default=0) if pieces is not None else 0
        group, agreement = model.tp.group, None
        if group is not None:
            num_slots = len(kv_pool.groups)
            agreement = DeviceAgreement(group, num_slots=num_slots, device=device.torch_device)
        self._parts = DeviceParts(
            model, kv_pool, self._rows, model.spec.group_of_layer(), agreement
        )
        # A sampled token and a count of bad ones for every run.
        self._num_words = 2 * (max_rows + 1)
        self._results = torch.zeros(self._num_words, dtype=torch.int32, device=device.torch_device)
        self._free_words: list[torch.Tensor] = []
        self._staging = Staging(device, 1 << 12)
        self.graphs = DecodeGraphs(
            device,
            self._parts,
            [group.decode for group in backends],
            graph_sizes if self._can_capture() else [],
            max_tokens=max_tokens,
            results=self._results,
        )
        self._collected_s = 0.0

    def _can_capture(self) -> bool:
        """True where a captured decode step reads nothing of the host."""
        is_fixed = not self._model.spec.rope.depends_on_length
        return is_fixed and all(group.decode.can_capture for group in self._backends)

    @torch.inference_mode()
    def launch(self, plan: StepPlan) -> DeviceHandle:
        """Stage ``plan`` and enqueue its forward pass, with the draws of its next tokens.

        Raises MemoryError, with what to change, where the device has no memory left for it.
        """
        try:
            return self._launch(plan)
        except torch.cuda.OutOfMemoryError as error:
            raise MemoryError(self._explain_out_of_memory(error)) from error

    def _launch(self, plan: StepPlan) -> DeviceHandle:
        launched_s = time.perf_counter()
        offsets = run_offsets(plan)
        with self._device.stream():
            updates = self._rows.apply(plan)
            if self._check:
                self._check_plan(plan, offsets)
            size = self.graphs.size_for(plan, updates)
            if size is not None:
                step = self.graphs.replay(size, plan, updates)
            else:
                if plan.added_rows or any(len(entries) for entries in updates):
                    self._rows.enqueue(updates, plan.added_rows)
                step = self._stage(plan, offsets)
                if self.pieces is not None and offsets[-1] <= self._most_in_pieces:
                    step.run_in_pieces(self._device, self.pieces)
                else:
                    self._device.run(step)
        return DeviceHandle(plan, step, offsets, launched_s)

    def _check_plan(self, plan: StepPlan, offsets: Int32Array) -> None:
        """Assert that tokens are of the vocabulary, and that each has a slot of its own."""
        vocab_size, page_size = self._model.spec.vocab_size, self._parts.kv_pool.page_size
        assert min(plan.token_ids, default=0) >= 0, "negative token id in a batch"
        assert max(plan.token_ids, default=0) < vocab_size, "token id beyond the vocabulary"
        arrays = token_arrays(plan, offsets)
        indices, places = np.divmod(arrays["positions"], page_size)
        for table in self._rows.pages.tables:
            slots = table[arrays["rows"], indices] * page_size + places
            assert len(np.unique(slots)) == len(slots), "two tokens in one slot"

    def _stage(self, plan: StepPlan, offsets: Int32Array) -> DeviceStep:
        """A step of its own for ``plan``, its arrays on their way to the device."""
        arrays = token_arrays(plan, offsets)
        kinds = self._plan_attention(plan, offsets, arrays)
        layout = Layout({name: array.size for name, array in arrays.items()})
        self._staging.reserve(layout.num_words)
        views = self._staging.bind(layout)
        self._staging.send(layout, arrays)
        attention = []
        for group, table in enumerate(self._rows.page_tables):
            parts: list[Part] = []
            for kind, begin, end in kinds:
                backend: AttentionBackend = getattr(self._backends[group], kind)
                prefix = f"{kind}.{group}."
                names = [name for name in arrays if name.startswith(prefix)]
                staged = {name.removeprefix(prefix): views[name] for name in names}
                parts.append(Part(begin, end, backend.bind(staged, table)))
            attention.append(parts)
        seq_lens = [s + n for s, n in zip(plan.run_starts, plan.run_lengths, strict=True)]
        num_single = plan.run_continues.count(True)
        shape = RunShape(offsets.tolist(), seq_lens, first_chunk_token=num_single)
        num_results = len(plan.sample_runs) + len(plan.run_rows) - num_single
        return DeviceStep(self._parts, views, attention, shape, self._results[:num_results])

    def _plan_attention(
        self, plan: StepPlan, offsets: Int32Array, arrays: dict[str, Int32Array]
    ) -> list[tuple[str, int, int]]:
        """Add what the backends stage to ``arrays``; each kind of runs and its tokens."""
        rows = np.asarray(plan.run_rows, dtype=np.int32)
        seq_lens = np.asarray(plan.run_starts, dtype=np.int32) + np.diff(offsets)
        num_single, num_runs = plan.run_continues.count(True), len(rows)
        kinds = []
        for kind, first, last in (("decode", 0, num_single), ("prefill", num_single, num_runs)):
            if first == last:
                continue
            begin, end = int(offsets[first]), int(offsets[last])
            kinds.append((kind, begin, end))
            for group, backends in enumerate(self._backends):
                runs = HostRuns(
                    rows[first:last],
                    offsets[first : last + 1] - offsets[first],
                    seq_lens[first:last],
                    self._rows.pages.tables[group],
                    self._rows.pages.version,
                )
                backend: AttentionBackend = getattr(backends, kind)
                for name, array in backend.plan(runs).items():
                    arrays[f"{kind}.{group}.{name}"] = array
        return kinds

    @torch.inference_mode()
    def sample(self, handle: DeviceHandle, masks: TokenMasks | None = None) -> None:
        """Enqueue what the draws left over, and the way of all results to the host.

        Raises MemoryError as :meth:`launch` does.
        """
        try:
            self._sample(handle, masks)
        except torch.cuda.OutOfMemoryError as error:
            raise MemoryError(self._explain_out_of_memory(error)) from error

    def _sample(self, handle: DeviceHandle, masks: TokenMasks | None) -> None:
        plan = handle.plan
        entries = self._left_to_sampler(plan, masks)
        if entries:
            with self._device.stream():
                if self._parts.is_drawing:
                    handle.late = SampledLate(entries)
                    self._enqueue_sampler(handle, handle.late, masks)
                else:
                    self._enqueue_receipt(plan, entries)
        for span in plan.prompt_logprob_spans:
            self._enqueue_scores(handle, span)
        num_chunks = len(plan.run_rows) - plan.run_continues.count(True)
        num_results = len(plan.sample_runs) + num_chunks
        handle.words = self._take_words()
        source, target = self._results[:num_results], handle.words[:num_results]
        self._device.run(lambda: target.copy_(source, non_blocking=True))
        handle.done = self._device.record()
        handle.step = None  # all that reads it is on its way, and its memory is needed next

    def _left_to_sampler(self, plan: StepPlan, masks: TokenMasks | None) -> list[int]:
        """Entries of ``sample_runs`` whose token is not the one that was drawn with the step."""
        needs = self._rows.needs_sampler
        masked = set() if masks is None else set(masks.entries)
        return [
            entry
            for entry, run in enumerate(plan.sample_runs)
            if needs[plan.run_rows[run]] or entry in masked
        ]

    def _enqueue_sampler(
        self, handle: DeviceHandle, late: SampledLate, masks: TokenMasks | None
    ) -> None:
        plan, step, last_token_W = handle.plan, handle.step, self._rows.last_token_W
        runs = [plan.sample_runs[entry] for entry in late.entries]
        batch = self._rows.sampling.batch([plan.run_rows[run] for run in runs])
        on = self._device.torch_device
        positions = [plan.run_starts[run] + plan.run_lengths[run] for run in runs]
        index = upload([late.entries, positions, batch.rows], torch.int64, on)
        entries_L, positions_L, rows_L = index.unbind(0)
        chosen = None if masks is None else masks.select(late.entries)
        masks_L = None if chosen is None else RowMasks(chosen, len(runs), on)
        agreement = self._parts.agreement

        def work() -> None:
            assert step is not None and step.logits_SV is not None
            logits_LV = step.logits_SV.index_select(0, entries_L)
            output = self._sampler.sample_batch(logits_LV, batch, positions_L, masks_L)
            if agreement is not None:
                agreement.hand_on(output.token_ids_R)
            last_token_W.index_copy_(0, rows_L, output.token_ids_R)
            late.output, late.packed = output, output.pack().to("cpu", non_blocking=True)

        self._device.run(work)

    def _enqueue_receipt(self, plan: StepPlan, entries: list[int]) -> None:
        """The rows of these entries remember what rank 0 samples for them."""
        agreement, last_token_W = self._parts.agreement, self._rows.last_token_W
        rows = [plan.run_rows[plan.sample_runs[entry]] for entry in entries]
        rows_L = upload(rows, torch.int64, self._device.torch_device)

        def work() -> None:
            assert agreement is not None, "one rank alone samples its own rows"
            token_ids_L = agreement.hand_on(torch.zeros_like(rows_L))
            last_token_W.index_copy_(0, rows_L, token_ids_L)

        self._device.run(work)

    def _enqueue_scores(self, handle: DeviceHandle, span: PromptLogprobSpan) -> None:
        plan, step = handle.plan, handle.step
        setup = self._rows.sampling.setups[plan.run_rows[span.run]]
        assert setup is not None and setup.logprobs is not None
        params = setup.logprobs
        first = int(handle.offsets[span.run]) + span.start - 1 - plan.run_starts[span.run]
        chunk_rows = logits_chunk_rows(self._model.spec.vocab_size)
        is_drawing = self._parts.is_drawing

        def work() -> None:
            assert step is not None and step.hidden_TE is not None
            hidden = step.hidden_TE[first : first + len(span.targets)]
            if not is_drawing:
                for part in torch.split(hidden, chunk_rows):
                    self._model.compute_logits(part)
                return
            scores = prompt_logprobs(
                hidden, self._model.compute_logits, span.targets, params, chunk_rows=chunk_rows
            )
            handle.prompt_scores.append(scores)

        self._device.run(work)

    def collect(self, handle: DeviceHandle) -> StepResult:
        """Wait for the step; what it produced, as host lists.

        RankLostError where ranks have computed something else than others. Who does not draw has
        neither the sampler's tokens nor scores.
        """
        assert handle.done is not None and handle.words is not None, "sampled before collected"
        handle.done.wait()
        now = time.perf_counter()
        elapsed_s = now - max(handle.launched_s, self._collected_s)
        self._collected_s = now
        plan = handle.plan
        num_samples, num_single = len(plan.sample_runs), plan.run_continues.count(True)
        num_results = num_samples + len(plan.run_rows) - num_single
        words = handle.words[:num_results].tolist()
        self._free_words.append(handle.words)
        if PARTED in words[:num_samples]:
            raise RankLostError(
                f"ranks disagree in step {plan.step_id}: they read other tokens, or wrote to other "
                "pages"
            )
        result = StepResult(words[:num_samples], elapsed_s=elapsed_s)
        result.invalid_runs = frozenset(
            num_single + chunk for chunk, bad in enumerate(words[num_samples:]) if bad
        )
        if handle.late is not None:
            _put_late(result, handle.late)
        result.invalid |= frozenset(i for i, token in enumerate(result.token_ids) if token < 0)
        result.prompt_logprobs = [scores.read() for scores in handle.prompt_scores]
        return result

    def close(self) -> None:
        """Let the device come to rest; memory goes with the object."""
        self._device.synchronize()

    def _take_words(self) -> torch.Tensor:
        """A buffer of the host for a step's results."""
        if self._free_words:
            return self._free_words.pop()
        return self._device.host_words(self._num_words)


def _put_late(result: StepResult, late: SampledLate) -> None:
    """The sampler's tokens take the place of those that were drawn."""
    assert late.output is not None and late.packed is not None
    sampled = late.output.unpack(late.packed)
    for index, entry in enumerate(late.entries):
        result.token_ids[entry] = -1 if index in sampled.invalid else sampled.token_ids[index]
    result.logprobs = {late.entries[i]: scores for i, scores in sampled.logprobs.items()}

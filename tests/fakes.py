"""Doubles for the engine's parts: a model whose answers depend on the KV pages it really reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sglite.kvcache.groups import KVGroup
from sglite.kvcache.page_allocator import PageState
from sglite.request import FinishReason, RequestFinish, RequestTimings
from sglite.scheduler.plan import RowSetup, StepPlan, StepResult

VOCAB = 97
EOS = 0


def finish_of(request_id: str, reason: FinishReason = FinishReason.LENGTH) -> RequestFinish:
    """The end of a small request."""
    return RequestFinish(
        request_id=request_id,
        reason=reason,
        num_prompt_tokens=2,
        num_output_tokens=1,
        num_cached_tokens=0,
        num_retractions=0,
        max_new_tokens=1,
        timings=RequestTimings(arrival_s=0.0),
    )


def mix(previous: int, token: int, position: int) -> int:
    """A hash of a prefix from that of the prefix before it."""
    value = (previous * 1_000_003 + token * 8191 + position * 131 + 17) & 0xFFFFFFFF
    value ^= value >> 15
    return (value * 0x2C1B3C6D) & 0xFFFFFFFF


def next_token(prefix_hash: int) -> int:
    """The fake model's greedy token: EOS about once in 40."""
    if (prefix_hash >> 7) % 40 == 0:
        return EOS
    return 1 + (prefix_hash >> 3) % (VOCAB - 1)


Stands = Callable[[list[int], int, int], list[int]]
"""Tokens that stand: from those so far, the sampled one, and how many there may be in all."""


def expected_output(
    prompt: list[int],
    max_new_tokens: int,
    *,
    stop_at_eos: bool = True,
    stands: Stands | None = None,
) -> list[int]:
    """What a request alone must generate."""
    token_ids = list(prompt)
    limit = len(prompt) + max_new_tokens
    prefix_hash, num_hashed = 0, 0
    while len(token_ids) < limit:
        for position in range(num_hashed, len(token_ids)):
            prefix_hash = mix(prefix_hash, token_ids[position], position)
        num_hashed = len(token_ids)
        token = next_token(prefix_hash)
        token_ids += [token] if stands is None else stands(token_ids, token, limit)
        if token_ids[-1] == EOS and stop_at_eos:
            break
    return token_ids[len(prompt) :]


@dataclass
class FakeRow:
    """What the fake executor keeps of a row."""

    setup: RowSetup
    page_ids: list[dict[int, int]]
    last_token: int = -1


@dataclass
class FakeExecutor:
    """Executes plans over slots that hold tags ``(prefix hash, position)`` instead of KV.

    Reading a slot whose tag is not the expected one raises: a page was shared, freed or written
    wrongly. ``invalid_requests`` makes the next sample of a request a NaN,
    ``invalid_chunks`` the next piece of its prompt.
    """

    groups: tuple[KVGroup, ...]
    num_pages: int
    page_size: int
    rows: dict[int, FakeRow] = field(default_factory=dict)
    invalid_requests: set[str] = field(default_factory=set)
    invalid_chunks: set[str] = field(default_factory=set)
    num_computed_tokens: int = 0
    num_renewed: int = 0

    def __post_init__(self) -> None:
        self.slots: list[dict[int, tuple[int, int]]] = [{} for _ in self.groups]

    def launch(self, plan: StepPlan) -> StepResult:
        for row in plan.cleared_rows:
            del self.rows[row]
        for setup in plan.added_rows:
            assert setup.row not in self.rows, f"row {setup.row} was given away twice"
            tables = [dict(enumerate(ids)) for ids in setup.page_ids]
            self.rows[setup.row] = FakeRow(setup, tables)
        for setup in plan.renewed_rows:
            assert self.rows[setup.row].setup.request_id == setup.request_id
            self.num_renewed += 1
        for group, updates in enumerate(plan.page_updates):
            entries = zip(updates.rows, updates.indices, updates.page_ids, strict=True)
            for row, index, page in entries:
                self.rows[row].page_ids[group][index] = page
        assert len(set(plan.run_rows)) == len(plan.run_rows), "two runs of one row"
        hashes = self._run_all(plan)
        result = StepResult([])
        invalid = set()
        for entry, run in enumerate(plan.sample_runs):
            row = self.rows[plan.run_rows[run]]
            row.last_token = next_token(hashes[run])
            result.token_ids.append(row.last_token)
            if row.setup.request_id in self.invalid_requests:
                self.invalid_requests.discard(row.setup.request_id)
                invalid.add(entry)
        result.invalid = frozenset(invalid)
        result.invalid_runs = frozenset(self._invalid_runs(plan))
        result.prompt_logprobs = [[] for _ in plan.prompt_logprob_spans]
        return result

    def _invalid_runs(self, plan: StepPlan) -> list[int]:
        found = []
        for run in range(plan.run_continues.count(True), len(plan.run_rows)):
            request_id = self.rows[plan.run_rows[run]].setup.request_id
            if request_id in self.invalid_chunks:
                self.invalid_chunks.discard(request_id)
                found.append(run)
        return found

    def sample(self, handle: StepResult, masks: object = None) -> None:
        """Sampling is part of ``launch`` here."""

    def collect(self, handle: StepResult) -> StepResult:
        return handle

    def _run_all(self, plan: StepPlan) -> list[int]:
        hashes, offset = [], 0
        runs = zip(
            plan.run_rows, plan.run_starts, plan.run_lengths, plan.run_continues, strict=True
        )
        for row_id, start, length, continues in runs:
            row = self.rows[row_id]
            if continues:
                assert length == 1 and row.last_token >= 0
                tokens = [row.last_token]
            else:
                tokens = plan.token_ids[offset : offset + length]
                offset += length
            hashes.append(self._run(row, start, tokens))
        assert offset == len(plan.token_ids)
        return hashes

    def _run(self, row: FakeRow, start: int, tokens: list[int]) -> int:
        prefix_hash = self._read(row, start)
        for position, token in enumerate(tokens, start):
            prefix_hash = mix(prefix_hash, token, position)
            for group in range(len(self.groups)):
                self.slots[group][self._slot(row, group, position)] = (prefix_hash, position)
        self.num_computed_tokens += len(tokens)
        return prefix_hash

    def _read(self, row: FakeRow, start: int) -> int:
        """Check every tag that attention would read; returns the prefix hash before ``start``."""
        prefix_hash = 0
        for group, spec in enumerate(self.groups):
            first = 0 if spec.window is None else max(0, start - spec.window + 1)
            for position in range(min(first, max(0, start - 1)), start):
                tag = self.slots[group].get(self._slot(row, group, position))
                assert tag is not None and tag[1] == position, (
                    f"{row.setup.request_id}: position {position} reads the slot of {tag}"
                )
                prefix_hash = tag[0]
        return prefix_hash

    def _slot(self, row: FakeRow, group: int, position: int) -> int:
        page = row.page_ids[group][position // self.page_size]
        assert 0 <= page < self.num_pages
        return page * self.page_size + position % self.page_size

    def check_pages(self, plan: StepPlan, allocators: list) -> None:
        """Assert that no page that ``plan`` may read or write is free."""
        for group, allocator in enumerate(allocators):
            free = allocator.pages_in(PageState.FREE)
            spec = self.groups[group]
            runs = zip(plan.run_rows, plan.run_starts, plan.run_lengths, strict=True)
            for row_id, start, length in runs:
                first = 0 if spec.window is None else max(0, start - spec.window + 1)
                if row_id not in self.rows:
                    continue
                table = self.rows[row_id].page_ids[group]
                for index in range(first // self.page_size, -(-(start + length) // self.page_size)):
                    assert table[index] not in free, "a page of an open step was freed"

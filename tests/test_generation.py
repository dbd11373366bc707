from __future__ import annotations

import dataclasses

import pytest

from sglite.generation import Generation, GenerationChunk, GenerationCollector, OpenGeneration
from sglite.request import (
    FinishReason,
    LogprobParams,
    OutputBatch,
    Request,
    RequestFinish,
    RequestTimings,
    SamplingParams,
    TokenLogprobs,
)
from sglite.tokenizer.text_assembler import TextAssembler
from tests.fakes_text import ByteTokenizer

TOKENIZER = ByteTokenizer()
EOS = 257


def open_generation(
    request_id: str = "r",
    *,
    index: int = 0,
    logprobs: LogprobParams | None = None,
    prompt: str = "abcd",
    with_text: bool = True,
    **sampling: object,
) -> OpenGeneration:
    params = SamplingParams(**sampling)
    request = Request(
        request_id=request_id,
        prompt_token_ids=TOKENIZER.encode(prompt),
        sampling=params,
        logprobs=logprobs,
    )
    return OpenGeneration(request, index, TextAssembler(TOKENIZER, params) if with_text else None)


def test_what_a_grammar_did_comes_with_the_end():
    collector = GenerationCollector()
    collector.add(open_generation())
    told = {"num_jumped_tokens": 2, "ignored_schema_keywords": ("not",)}
    [chunk] = collector.absorb(OutputBatch(finished=[finish(**told)]))
    assert chunk.finished.num_jumped_tokens == 2
    assert chunk.finished.ignored_schema_keywords == ("not",)


def finish(
    request_id: str = "r",
    reason: FinishReason = FinishReason.STOP,
    *,
    matched: int | str | None = None,
    **changes: object,
) -> RequestFinish:
    values = {
        "request_id": request_id,
        "reason": reason,
        "matched": matched,
        "num_prompt_tokens": 4,
        "num_output_tokens": 3,
        "num_cached_tokens": 2,
        "num_retractions": 1,
        "max_new_tokens": 9,
        "timings": RequestTimings(
            arrival_s=10.0, admitted_s=10.5, first_token_s=11.0, finished_s=13.0
        ),
    }
    return RequestFinish(**{**values, **changes})


def run(
    generation: OpenGeneration, pieces: list[list[int]], end: RequestFinish
) -> list[GenerationChunk]:
    """Feed pieces of tokens and the end, each in an output batch of its own."""
    collector = GenerationCollector()
    collector.add(generation)
    chunks = []
    for piece in pieces:
        chunks += collector.absorb(OutputBatch(tokens=[("r", token) for token in piece]))
    chunks += collector.absorb(OutputBatch(finished=[end]))
    assert not collector.open
    return chunks


def last(chunks: list[GenerationChunk]) -> Generation:
    assert [chunk.finished is not None for chunk in chunks].count(True) == 1
    assert chunks[-1].finished is not None
    return chunks[-1].finished


# -- text and ids ----------------------------------------------------------------------------------


@pytest.mark.parametrize("interval", [None, 1, 2, 3, 100])
def test_the_pieces_add_up_to_the_whole(interval: int | None) -> None:
    ids = [*"naïve café 🙂 and more".encode(), EOS]
    chunks = run(open_generation(stream_interval=interval), [[i] for i in ids], finish(matched=EOS))
    whole = last(chunks)
    assert whole.text == "naïve café 🙂 and more" == "".join(chunk.text for chunk in chunks)
    assert whole.token_ids == ids == [i for chunk in chunks for i in chunk.token_ids]


def test_the_interval_spaces_chunks_after_the_first() -> None:
    chunks = run(open_generation(stream_interval=3), [[65 + i] for i in range(9)], finish())
    assert [chunk.text for chunk in chunks] == ["A", "BCD", "EFG", "HI"]


def test_the_end_comes_whatever_the_interval() -> None:
    generation, collector = open_generation(stream_interval=50), GenerationCollector()
    collector.add(generation)
    (chunk,) = collector.absorb(OutputBatch(tokens=[("r", 65), ("r", 66)], finished=[finish()]))
    assert (chunk.text, chunk.token_ids) == ("AB", [65, 66])
    assert chunk.finished is not None


def test_a_stop_string_never_shows() -> None:
    ids = list(b"one STOP")
    chunks = run(open_generation(stop=("STOP",)), [[i] for i in ids], finish(matched="STOP"))
    assert "".join(chunk.text for chunk in chunks) == "one " == last(chunks).text
    assert last(chunks).token_ids == ids
    assert last(chunks).matched == "STOP"


def test_without_a_tokenizer_there_are_ids_only() -> None:
    chunks = run(open_generation(with_text=False), [[1], [2]], finish())
    assert [chunk.text for chunk in chunks] == ["", "", ""]
    assert last(chunks).text == "" and last(chunks).token_ids == [1, 2]


def test_what_was_generated_before_an_abort_is_kept() -> None:
    end = finish(reason=FinishReason.ABORT, message="aborted by the caller")
    whole = last(run(open_generation(), [[65, 66]], end))
    assert (whole.text, whole.message) == ("AB", "aborted by the caller")
    assert whole.finish_reason is FinishReason.ABORT


def test_tokens_of_several_requests_are_told_apart() -> None:
    collector = GenerationCollector()
    for index, name in enumerate("ab"):
        collector.add(open_generation(name, index=index))
    tokens = [("b", 66), ("a", 65), ("b", 67)]
    chunks = collector.absorb(OutputBatch(tokens=tokens, finished=[finish("a")]))
    assert [(c.request_id, c.index, c.text, c.finished is not None) for c in chunks] == [
        ("b", 1, "BC", False),
        ("a", 0, "A", True),
    ]
    assert collector.open.keys() == {"b"}


# -- log-probabilities -----------------------------------------------------------------------------


def test_logprobs_follow_their_tokens() -> None:
    generation, collector = open_generation(logprobs=LogprobParams()), GenerationCollector()
    collector.add(generation)
    entries = {i: TokenLogprobs(65 + i, -float(i)) for i in range(3)}
    tokens = [("r", 65), ("r", 66)]
    (first,) = collector.absorb(OutputBatch(tokens=tokens, logprobs={0: entries[0], 1: entries[1]}))
    (second,) = collector.absorb(
        OutputBatch(tokens=[("r", 67)], logprobs={0: entries[2]}, finished=[finish()])
    )
    assert first.logprobs == [entries[0], entries[1]]
    assert second.logprobs == [entries[2]]
    assert second.finished is not None
    assert second.finished.logprobs == list(entries.values())
    assert second.finished.prompt_logprobs is None


def test_nobody_gets_logprobs_unasked() -> None:
    chunks = run(open_generation(), [[65]], finish())
    assert chunks[0].logprobs is None
    assert last(chunks).logprobs is None and last(chunks).prompt_logprobs is None


@pytest.mark.parametrize(("start", "first"), [(0, [97]), (2, [99]), (4, [])])
def test_the_first_prompt_position_has_no_value(start: int, first: list[int]) -> None:
    generation = open_generation(logprobs=LogprobParams(start_len=start), with_text=False)
    collector = GenerationCollector()
    collector.add(generation)
    rest = [TokenLogprobs(token, -1.0) for token in b"abcd"[start + 1 :]]
    collector.absorb(OutputBatch(prompt_logprobs=[("r", rest[:1]), ("r", rest[1:])]))
    (chunk,) = collector.absorb(OutputBatch(finished=[finish()]))
    assert chunk.finished is not None
    scored = chunk.finished.prompt_logprobs
    assert scored == [TokenLogprobs(token, None) for token in first] + rest


# -- figures ---------------------------------------------------------------------------------------


def test_figures_are_those_of_the_end() -> None:
    whole = last(run(open_generation(index=3), [[65, 66, 67]], finish()))
    assert (whole.index, whole.request_id) == (3, "r")
    assert (whole.num_prompt_tokens, whole.num_cached_tokens) == (4, 2)
    assert (whole.num_output_tokens, whole.num_retractions, whole.max_new_tokens) == (3, 1, 9)
    assert whole.prompt_token_ids == list(b"abcd")
    assert (whole.queue_s, whole.ttft_s, whole.e2e_s) == (0.5, 1.0, 3.0)
    assert whole.decode_tokens_per_s == 1.0


def test_what_never_happened_has_no_time() -> None:
    timings = RequestTimings(arrival_s=10.0, finished_s=12.0)
    whole = last(run(open_generation(), [], finish(timings=timings)))
    assert (whole.queue_s, whole.ttft_s, whole.e2e_s) == (None, None, 2.0)
    assert whole.decode_tokens_per_s is None


@pytest.mark.parametrize(("num_output_tokens", "e2e_s"), [(0, 3.0), (1, 3.0), (5, 1.0)])
def test_a_speed_needs_a_second_token_and_time(num_output_tokens: int, e2e_s: float) -> None:
    whole = last(run(open_generation(), [], finish()))
    whole = dataclasses.replace(whole, num_output_tokens=num_output_tokens, e2e_s=e2e_s)
    assert whole.decode_tokens_per_s is None


def test_a_generation_in_sglangs_words() -> None:
    whole = last(run(open_generation(), [[65]], finish()))
    assert whole.to_sglang(TOKENIZER)["text"] == "A"

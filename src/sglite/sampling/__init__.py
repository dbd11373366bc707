"""From logits to the next token of every row.

Step 7 of 8.
Receives: logits ``[R, V]``, the rows they belong to, the position of each new token.
Hands on: token ids, a flag for rows that cannot go on, log-probabilities where asked.
Does not know about: text, pages, the scheduler's queues; a row is a number to it.
"""

from sglite.sampling.logprobs import PromptScores, logits_chunk_rows, prompt_logprobs
from sglite.sampling.masks import RowMasks, TokenMasks
from sglite.sampling.sampler import SampleOutput, Sampler, SampleResult
from sglite.sampling.state import SamplingState

__all__ = [
    "PromptScores",
    "RowMasks",
    "SampleOutput",
    "SampleResult",
    "Sampler",
    "SamplingState",
    "TokenMasks",
    "logits_chunk_rows",
    "prompt_logprobs",
]

"""Requests from outside, checked once, by one module, for every route.

Step 1 of 8.
Receives: token ids, sampling parameters and log-probability wishes, as anybody may write them.
Hands on: :class:`~sglite.request.Request` objects within this server's limits.
Does not know about: HTTP, text, tensors; which model it is beyond its limits.

Types are strict (a bool is no integer, a string is not turned into a number), numbers are finite,
ranges are closed; each error names its field in ``RequestError.param``.
"""

from sglite.validation.requests import (
    RequestLimits,
    RequestTraits,
    build_requests,
    validate_logprob_params,
    validate_token_ids,
)
from sglite.validation.sampling_params import (
    sampling_params_from_dict,
    validate_sampling_params,
)

__all__ = [
    "RequestLimits",
    "RequestTraits",
    "build_requests",
    "sampling_params_from_dict",
    "validate_logprob_params",
    "validate_sampling_params",
    "validate_token_ids",
]

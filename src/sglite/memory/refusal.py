"""What to say where the memory does not suffice: which number to change, and to what."""

from __future__ import annotations

import math
import re

from sglite.errors import ConfigError
from sglite.memory.memory_plan import MemoryPlan
from sglite.memory.units import amount, parse_amount

WANTED = re.compile(r"[Tt]ried to allocate ([\d.]+ [KMGT]?i?B)")
"""What torch.cuda.OutOfMemoryError says of the allocation that failed."""


def refuse_too_little(plan: MemoryPlan) -> None:
    """ConfigError where the pool of ``plan``, still empty, cannot have one page.

    Once graphs and activations are measured it must hold one request of the full context as well,
    unless ``max_total_tokens`` asks for less.
    """
    page_bytes = plan.kv_bytes_per_page
    asks_itself = plan.max_total_tokens is not None
    if (plan.left_bytes if asks_itself else plan.pool_limit_bytes) < page_bytes:
        _refuse_page(plan)
    if asks_itself or not plan.is_measured:
        return
    num_pages = math.ceil(plan.context_length / plan.page_size)
    missing = num_pages * page_bytes - plan.pool_limit_bytes
    if missing > 0:
        fits = plan.pool_limit_bytes // page_bytes * plan.page_size
        raise ConfigError(
            f"the KV pool has room for {_tokens(fits)}, and one request of the full context has"
            f" {plan.context_length:,}. Lower context_length to {fits:,}"
            f"{_or_else(plan, num_pages * page_bytes, missing)}."
        )


def refuse_tokens(plan: MemoryPlan, num_pages: int) -> None:
    """ConfigError where ``max_total_tokens``, which takes so many pages, does not fit."""
    left, page_bytes = plan.left_bytes, plan.kv_bytes_per_page
    if num_pages * page_bytes > left:
        raise ConfigError(
            f"max_total_tokens {plan.max_total_tokens:,} needs a KV pool of"
            f" {amount(num_pages * page_bytes)}; {amount(left)} are left."
            f" Lower it to {left // page_bytes * plan.page_size:,}."
        )


def _refuse_page(plan: MemoryPlan) -> None:
    left, weights, page_bytes = plan.left_bytes, plan.weights_bytes, plan.kv_bytes_per_page
    has = f"{amount(plan.available_bytes)} of memory are available"
    if plan.is_gpu:
        has = f"{amount(plan.available_bytes)} of {amount(plan.total_bytes)} on {plan.device} are"
        has += " available"
    if plan.available_bytes < weights:
        raise ConfigError(
            f"the weights need {amount(weights)} in {plan.weights_dtype}, but {has}. Free"
            f" {amount(weights - plan.available_bytes)}, or choose a smaller model, dtype or"
            " quantization."
        )
    page = f"one page of {_tokens(plan.page_size)} ({amount(page_bytes)})"
    graphs = f"graphs {amount(plan.graph_bytes)}, " if plan.graph_bytes else ""
    if left < page_bytes:
        missing = page_bytes - left
        raise ConfigError(
            f"weights {amount(weights)}, {graphs}activations {amount(plan.activation_bytes)} and"
            f" {page} do not fit: {has}. Free {amount(missing)}, or lower max_running_requests"
            f" ({plan.max_running_requests:,}) or context_length ({plan.context_length:,})"
            f"{_or_else(plan, page_bytes, missing)}."
        )
    fraction = f"mem_fraction_static {plan.fraction:g} of the"
    if plan.is_gpu:
        raise ConfigError(
            f"{fraction} {amount(plan.total_bytes)} on {plan.device} has no room for {page} besides"
            f" weights {amount(weights)}, {graphs}activations {amount(plan.activation_bytes)} and"
            f" what other programs have. Raise it to {plan.fraction_for(page_bytes):g} or more"
            f"{_or_else(plan, page_bytes, page_bytes - plan.pool_limit_bytes, fraction=False)}."
        )
    raise ConfigError(
        f"{fraction} {amount(left)} left after the weights is less than {page}. Raise it to"
        f" {plan.fraction_for(page_bytes):g} or more."
    )


def _or_else(plan: MemoryPlan, needed: int, missing: int, *, fraction: bool = True) -> str:
    """Other changes, each of which alone gives the pool ``needed`` bytes, ``missing`` now."""
    changes = []
    raised = plan.fraction_for(needed)
    if fraction and raised is not None and raised > plan.fraction:
        changes.append(f"raise mem_fraction_static from {plan.fraction:g} to {raised:g}")
    return "".join(f", or {change}" for change in changes + _smaller_steps(plan, missing))


def _smaller_steps(plan: MemoryPlan, missing: int) -> list[str]:
    """Sizes of steps that would free ``missing`` bytes, as far as their memory follows them."""
    follows = plan.activations_follow
    sizes = {
        "max_running_requests": plan.max_running_requests,
        "chunked_prefill_size": plan.prefill_tokens,
        "cuda_graph_max_bs": plan.cuda_graph_max_bs,
    }
    uses = {follows: plan.activation_bytes, "cuda_graph_max_bs": plan.graph_bytes}
    changes = []
    for name, num_bytes in uses.items():
        smaller = int(sizes[name] * (1 - missing / num_bytes)) if num_bytes else 0
        if plan.is_gpu and smaller > 0:
            changes.append(f"lower {name} from {sizes[name]:,} to about {smaller:,}")
    return changes


def explain_out_of_memory(error: BaseException, plan: MemoryPlan) -> str:
    """What a torch.cuda.OutOfMemoryError means for an engine with ``plan``, and what to change."""
    found = WANTED.search(str(error))
    wanted = parse_amount(found[1]) if found else None
    missing = wanted or plan.activation_bytes or plan.total_bytes // 50
    more = f"{amount(wanted)} more were wanted" if wanted else "more was wanted than there is"
    taken = [
        f"{name} {amount(num_bytes)}"
        for name, num_bytes in (
            ("weights", plan.weights_bytes),
            ("KV pool", plan.kv_bytes),
            ("graphs", plan.graph_bytes),
            ("largest step", plan.activation_bytes),
        )
        if num_bytes
    ]
    changes = [_smaller_pool(plan, missing), *_smaller_steps(plan, missing)]
    advice = ", or ".join(each for each in changes if each)
    return (
        f"{plan.device} is out of memory: {more}. Of {amount(plan.total_bytes)} were planned for"
        f" {', '.join(taken)}. {advice[:1].upper()}{advice[1:]}."
    )


def _smaller_pool(plan: MemoryPlan, missing: int) -> str:
    """How to make the pool smaller by ``missing`` bytes."""
    kept = plan.kv_bytes - missing
    if kept < plan.kv_bytes_per_page:
        return "free memory that other programs have"
    if plan.max_total_tokens is not None:
        return f"lower max_total_tokens to {kept // plan.kv_bytes_per_page * plan.page_size:,}"
    fraction = math.floor((1 - (plan.left_bytes - kept) / plan.total_bytes) * 1000) / 1000
    return f"lower mem_fraction_static from {plan.fraction:g} to {fraction:g}"


def _tokens(number: int) -> str:
    return "1 token" if number == 1 else f"{number:,} tokens"

"""A memory plan as the table that `sglite plan` prints."""

from __future__ import annotations

from sglite.memory.memory_plan import MemoryPlan
from sglite.memory.units import amount


def render_memory_plan(plan: MemoryPlan) -> str:
    """Plain text: one row per use of memory, then what it means for requests, then advice."""
    how = "measured" if plan.is_measured else "estimated"
    rows = [
        (
            "available",
            amount(plan.available_bytes),
            _available(plan),
        ),
        ("weights", amount(plan.weights_bytes), plan.weights_dtype),
        *([("graphs", amount(plan.graph_bytes), how)] if plan.graph_bytes else []),
        ("activations", amount(plan.activation_bytes), f"largest step, {how}"),
        ("KV per token", amount(plan.kv_bytes_per_token), plan.kv_dtype),
        ("KV per page", amount(plan.kv_bytes_per_page), _count(plan.page_size, "token")),
        (
            "KV pool",
            amount(plan.kv_bytes),
            f"{_count(plan.num_pages, 'page')}, bound by {_bound(plan)}",
        ),
        ("tokens in the pool", f"{plan.num_tokens:,}", f"{plan.wanted_tokens:,} wanted"),
        (
            "full contexts",
            f"{plan.expected_concurrency:,.1f}",
            f"requests of {plan.context_length:,} tokens together",
        ),
        (
            "tokens per request",
            f"{plan.tokens_per_request:,}",
            f"with {plan.max_running_requests:,} requests together",
        ),
    ]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    lines = [f"{name:<{widths[0]}}  {value:>{widths[1]}}  {note}" for name, value, note in rows]
    return "\n".join(lines + _advice(plan))


def _available(plan: MemoryPlan) -> str:
    if plan.is_gpu:
        return f"free of {amount(plan.total_bytes)} on {plan.device}"
    return f"free now, bound by the {plan.memory_bound_by}"


def _count(number: int, thing: str) -> str:
    return f"1 {thing}" if number == 1 else f"{number:,} {thing}s"


def _bound(plan: MemoryPlan) -> str:
    share = "all memory" if plan.is_gpu else "what is left"
    names = {
        "memory": f"mem_fraction_static {plan.fraction:g} of {share}",
        "max_running_requests": "max_running_requests x context_length",
    }
    return names.get(plan.bound_by, plan.bound_by)


def _advice(plan: MemoryPlan) -> list[str]:
    if plan.num_tokens >= plan.context_length:
        return []
    return [
        f"A request of the full context ({plan.context_length:,} tokens) does not fit into the"
        f" pool: set context_length to {plan.num_tokens:,} or less, or raise mem_fraction_static"
        " or max_total_tokens."
    ]

"""SGLang's frontend in small: programs that prompt, branch and choose, over ``LLM`` or a server.

    from sglite import LLM, lang

    @lang.function
    def ask(s, question):
        s += lang.user(question)
        s += lang.assistant(lang.gen("answer", max_tokens=64))

    lang.set_default_backend(LLM())
    print(ask.run("Who are you?")["answer"])

Receives a program and its arguments; hands prompts to a :class:`~sglite.lang.backend.Backend` and
returns states. Knows nothing of tokens but their number, and nothing of engines.
"""

from sglite.lang.backend import Backend
from sglite.lang.choices import (
    greedy_token_selection,
    token_length_normalized,
    unconditional_likelihood_normalized,
)
from sglite.lang.expressions import (
    assistant,
    assistant_begin,
    assistant_end,
    gen,
    gen_int,
    gen_string,
    select,
    system,
    system_begin,
    system_end,
    user,
    user_begin,
    user_end,
)
from sglite.lang.program import Program, function, set_default_backend
from sglite.lang.state import ForkGroup, ProgramState

__all__ = [
    "Backend",
    "ForkGroup",
    "Program",
    "ProgramState",
    "assistant",
    "assistant_begin",
    "assistant_end",
    "function",
    "gen",
    "gen_int",
    "gen_string",
    "greedy_token_selection",
    "select",
    "set_default_backend",
    "system",
    "system_begin",
    "system_end",
    "token_length_normalized",
    "unconditional_likelihood_normalized",
    "user",
    "user_begin",
    "user_end",
]

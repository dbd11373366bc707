"""Practical questions about sglite's use that the guide's subjects leave open."""

from __future__ import annotations

import random

from training.examples import Example, Intent, Skill, draw_phrase

INTENTS = [
    Intent(
        "Run make setup in the repository. It installs sglite into .venv.",
        [
            "How do I install sglite?",
            "How can I install sglite?",
            "How do I set up sglite?",
            "How is sglite installed?",
        ],
    ),
    Intent(
        'Run sglite generate --prompt "..." with your text.',
        [
            "How do I generate text from the shell?",
            "How do I answer one prompt from the command line?",
            "How do I run a single prompt?",
            "How do I use sglite generate?",
        ],
    ),
    Intent(
        "Run sglite generate --lines and give one prompt per line on standard input.",
        [
            "How do I run many prompts from the shell?",
            "How do I run a file of prompts?",
            "How do I pass several prompts?",
            "How do I send one prompt per line?",
        ],
    ),
    Intent(
        "Add --json to sglite generate.",
        [
            "How do I get the output of sglite generate as JSON?",
            "How do I get JSON from sglite generate?",
            "How can sglite generate print JSON?",
        ],
    ),
    Intent(
        "Add --model with a directory or a name on the hub.",
        [
            "How do I use another model?",
            "How do I change the model?",
            "How can I choose the model?",
            "Which option sets the model?",
        ],
    ),
    Intent(
        "Run sglite plan --model with the model's path. It says what fits into memory.",
        [
            "How do I know whether a model fits into memory?",
            "How much memory does a model need?",
            "How do I plan the memory?",
            "What does sglite plan do?",
        ],
    ),
    Intent(
        "Run sglite verify --model with the model's path. It compares the model with transformers.",
        [
            "How do I check a model?",
            "How do I verify a checkpoint?",
            "How do I compare a model with transformers?",
            "What does sglite verify do?",
        ],
    ),
    Intent(
        "Run sglite smoke. It checks from end to end that text comes.",
        [
            "How do I check that sglite works?",
            "How do I test my installation?",
            "What does sglite smoke do?",
        ],
    ),
    Intent(
        "Run sglite make-model. It writes a model with random weights.",
        [
            "How do I make a random model?",
            "How do I create a model with random weights?",
            "What does sglite make-model do?",
        ],
    ),
    Intent(
        "Run sglite bench.",
        [
            "How do I measure the speed?",
            "How do I benchmark sglite?",
            "How do I run the benchmarks?",
        ],
    ),
    Intent(
        "Add --log-level debug. Then every decision of the scheduler and the cache is logged.",
        [
            "How do I see what the scheduler decides?",
            "How do I turn on debug logs?",
            "How do I get more logs?",
            "How do I debug sglite?",
        ],
    ),
    Intent(
        "Add --help to a command, for example sglite chat --help.",
        [
            "How do I see all options?",
            "How do I get help for a command?",
            "Where are the options listed?",
            "Which options does a command have?",
        ],
    ),
    Intent(
        "Write the options into a file and pass it with --config.",
        [
            "How do I use a configuration file?",
            "Can I put the options into a file?",
            "How do I pass a config file?",
        ],
    ),
    Intent(
        "Set SGLITE_ and the option's name, for example SGLITE_PAGE_SIZE=16.",
        [
            "How do I set an option in the environment?",
            "Which environment variables does sglite read?",
            "Can I use environment variables?",
        ],
    ),
    Intent(
        "Add --disable-radix-cache.",
        [
            "How do I turn off the prefix cache?",
            "How do I disable the prefix cache?",
            "How do I run without a prefix cache?",
            "Which option disables the radix cache?",
        ],
    ),
    Intent(
        "Add --context-length with the number of tokens.",
        [
            "How do I set the context length?",
            "How do I limit the context?",
            "Which option sets the context length?",
        ],
    ),
    Intent(
        "Set sampling_seed in the sampling parameters.",
        [
            "How do I get the same answer every time?",
            "How do I set the seed?",
            "How do I make the output reproducible?",
        ],
    ),
    Intent(
        "Set max_new_tokens in the sampling parameters.",
        [
            "How do I limit the length of the answer?",
            "How do I get shorter answers?",
            "Which parameter limits the number of new tokens?",
        ],
    ),
    Intent(
        "Type /save and the name of a file.",
        ["How do I save the chat?", "How do I store the chat in a file?"],
    ),
    Intent(
        "Type /system and the text.",
        ["How do I set a system prompt in the chat?", "How do I change the system prompt?"],
    ),
    Intent(
        "sglite is written in Python.",
        [
            "Which language is sglite written in?",
            "What is sglite written in?",
            "Is sglite written in Python?",
            "Which programming language does sglite use?",
        ],
    ),
    Intent(
        "sglite runs Llama, Qwen, Mistral and related models.",
        [
            "Which models does sglite support?",
            "Which models can sglite run?",
            "What models can I use?",
        ],
    ),
    Intent(
        "Run make test in the repository.",
        ["How do I run the tests?", "How do I test sglite?", "How are the tests run?"],
    ),
]
"""What people ask when they use sglite, and the answers."""


def draw(rng: random.Random) -> Example:
    """One of the exchanges above."""
    return draw_phrase(rng, INTENTS)


SKILL = Skill("about_sglite", weight=1.5, draw=draw, is_exact=False)

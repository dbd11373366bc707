"""What the guide knows of one subject."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Topic:
    """One subject: a paragraph in English, one in Chinese, and how people ask for it.

    `names` fit into "What is {}?" and "Explain {}.": noun phrases, with the article they need;
    `plural_names` into "What are {}?". `names_zh` fit into "什么是{}?" and "请解释一下{}。".
    `questions` and `questions_zh` are whole wordings beyond what the patterns make of the names.
    """

    id: str
    names: list[str]
    text: str
    questions: list[str]
    names_zh: list[str]
    text_zh: str
    questions_zh: list[str]
    plural_names: list[str] = field(default_factory=list)

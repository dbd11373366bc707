"""The guide's paragraphs, by subject."""

from __future__ import annotations

from training.skills.guide import (
    basics,
    memory,
    models,
    output,
    parallel,
    requests,
    sampling,
    speed,
    steps,
    usage,
)
from training.skills.guide.topic import Topic

TOPICS: dict[str, Topic] = {
    topic.id: topic
    for module in (
        basics,
        requests,
        steps,
        memory,
        models,
        sampling,
        output,
        speed,
        parallel,
        usage,
    )
    for topic in module.TOPICS
}
"""Every topic by its id."""

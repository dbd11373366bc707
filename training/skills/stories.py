"""Very short stories from a grammar: hero, trait and place of the prompt decide every word."""

from __future__ import annotations

import random

from training.examples import Example, Skill, ask, vary

HEROES = [
    *["cat", "dog", "fox", "rabbit", "bear", "mouse", "owl", "turtle", "robot", "dragon"],
    *["knight", "girl", "boy", "king", "queen", "frog", "horse", "bird", "wolf", "lion"],
    *["penguin", "elephant", "monkey", "pirate"],
]
"""Who the story is about."""

TRAITS = {
    "little": "gave half of the bread away",
    "brave": "stayed close and kept the danger away",
    "kind": "shared a warm soup",
    "clever": "had a good idea and showed the way home",
    "lazy": "made room for a long nap",
    "happy": "sang a cheerful song",
    "sad": "told the whole story and felt better",
    "shy": "smiled and said hello in a soft voice",
    "curious": "asked a hundred questions and learned a lot",
    "hungry": "found a basket of sweet apples",
    "old": "told tales of long ago",
    "young": "played until the sun went down",
    "tired": "lit a small fire to rest by",
    "funny": "told a joke that made everyone laugh",
}
"""What the hero does in the last sentence, by trait."""

PLACES = {
    "in the forest": "a lost squirrel",
    "in the snow": "a cold little deer",
    "by the sea": "a lonely crab",
    "in the mountains": "a young goat",
    "in the garden": "a busy snail",
    "in the desert": "a thirsty camel",
    "on the moon": "a small green visitor",
    "in the city": "a grey pigeon",
    "on a farm": "a noisy chicken",
    "by the river": "a wet otter",
    "on an island": "a colorful parrot",
    "in a castle": "a friendly ghost",
    "in the rain": "a jumping toad",
    "in a village": "a tired donkey",
    "in a cave": "a sleepy bat",
}
"""Whom the hero meets in the second sentence, by place."""

DEFAULT_HERO = "fox"
DEFAULT_TRAIT = "little"
DEFAULT_PLACE = "in the garden"

REQUESTS = [
    "Tell me a very short story{about}.",
    "Tell me a short story{about}.",
    "Write a tiny story{about}.",
    "Write a short story{about}.",
    "Write a very short story{about}.",
    "Tell me a story{about}.",
    "Write a story{about}.",
    "Can you tell me a story{about}?",
    "Please tell me a story{about}.",
    "I would like a short story{about}.",
]


def _with_article(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def tell(hero: str, trait: str, place: str) -> str:
    """The one story about this hero."""
    return (
        f"Once there was {_with_article(f'{trait} {hero}')} {place}. "
        f"One day the {hero} met {PLACES[place]}. "
        f"The {trait} {hero} {TRAITS[trait]}, and they became friends."
    )


def draw(rng: random.Random) -> Example:
    """A request that names a hero, often a trait, often a place; what is not named is fixed."""
    hero, trait, place = DEFAULT_HERO, DEFAULT_TRAIT, DEFAULT_PLACE
    about = ""
    if rng.random() < 0.95:
        hero = rng.choice(HEROES)
        about = hero
        if rng.random() < 0.7:
            trait = rng.choice(list(TRAITS))
            about = f"{trait} {hero}"
        about = f" about {_with_article(about)}"
        if rng.random() < 0.7:
            place = rng.choice(list(PLACES))
            about = f"{about} {place}"
    question = rng.choice(REQUESTS).format(about=about)
    key = f"{hero}|{trait}|{place}" if about else ""
    return ask(vary(rng, question), tell(hero, trait, place), key=key)


SKILL = Skill("stories", weight=1, draw=draw, is_exact=False)

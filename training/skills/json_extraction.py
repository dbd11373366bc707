"""Extraction: a short text, the names of some fields, and one JSON object with exactly these."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from string import Formatter

from training.examples import Example, Skill, system, user
from training.skills import people

Value = str | int | float
Record = dict[str, Value]


@dataclass(frozen=True, slots=True)
class RecordKind:
    """One kind of record: how its values are drawn, and sentences that say some of them.

    The names in braces are the record's fields; `a_job` stands for the job with its article.
    """

    name: str
    draw: Callable[[random.Random], Record]
    patterns: list[str]


def _draw_person(rng: random.Random) -> Record:
    return {
        "name": people.name(rng),
        "age": rng.randint(18, 90),
        "city": rng.choice(people.CITIES),
        "job": rng.choice(people.JOBS),
        "hobby": rng.choice(people.HOBBIES),
    }


def _draw_price(rng: random.Random, usual: int) -> Value:
    """A price near the usual one: whole dollars, or cents that JSON writes with two digits."""
    dollars = rng.randint(max(1, usual // 2), 2 * usual)
    if rng.random() < 0.7:
        return dollars
    return float(f"{dollars}.{rng.choice([25, 49, 75, 95, 99])}")


def _draw_order(rng: random.Random) -> Record:
    product = rng.choice(list(people.PRODUCTS))
    return {
        "customer": people.name(rng),
        "item": people.plural(product),
        "quantity": rng.randint(2, 40),
        "total": _draw_price(rng, 3 * people.PRODUCTS[product]),
        "city": rng.choice(people.CITIES),
    }


def _draw_book(rng: random.Random) -> Record:
    return {
        "title": people.book_title(rng),
        "author": people.full_name(rng),
        "year": rng.randint(1850, 2024),
        "pages": rng.randint(80, 900),
    }


def _draw_event(rng: random.Random) -> Record:
    return {
        "event": rng.choice(people.EVENTS),
        "city": rng.choice(people.CITIES),
        "day": rng.choice(people.WEEKDAYS),
        "time": f"{rng.randint(8, 22):02}:{rng.choice(['00', '15', '30', '45'])}",
        "guests": rng.randint(5, 400),
    }


def _draw_product(rng: random.Random) -> Record:
    product = rng.choice(list(people.PRODUCTS))
    return {
        "product": product,
        "color": rng.choice(people.COLORS),
        "price": _draw_price(rng, people.PRODUCTS[product]),
        "stock": rng.randint(1, 500),
    }


def _draw_pet(rng: random.Random) -> Record:
    return {
        "name": rng.choice(people.PET_NAMES),
        "animal": rng.choice(people.PETS),
        "age": rng.randint(1, 20),
        "color": rng.choice(people.COLORS),
        "owner": people.name(rng),
    }


def _draw_trip(rng: random.Random) -> Record:
    origin, destination = rng.sample(people.CITIES, 2)
    return {
        "passenger": people.name(rng),
        "origin": origin,
        "destination": destination,
        "day": rng.choice(people.WEEKDAYS),
        "price": rng.randint(20, 900),
    }


def _draw_contact(rng: random.Random) -> Record:
    return {
        "name": people.name(rng),
        "phone": f"555-{rng.randint(0, 9999):04}",
        "city": rng.choice(people.CITIES),
    }


KINDS = [
    RecordKind(
        "person",
        _draw_person,
        [
            "{name} is {age} years old and lives in {city}.",
            "{name}, {age}, lives in {city}.",
            "{name} is {a_job} in {city} and is {age} years old.",
            "{name} is {a_job} from {city}.",
            "My name is {name}, I am {age} years old and I live in {city}.",
            "I am {name} from {city}. I am {age} years old and work as {a_job}.",
            "{name} lives in {city} and works as {a_job}. The favorite hobby is {hobby}.",
            "{name} ({age}) works as {a_job} in {city} and likes {hobby}.",
            "In {city} lives {a_job} called {name} who is {age} years old.",
            "{name} from {city} is {age} and enjoys {hobby}.",
        ],
    ),
    RecordKind(
        "order",
        _draw_order,
        [
            "{customer} ordered {quantity} {item} for {total} dollars.",
            "{customer} from {city} ordered {quantity} {item}.",
            "{customer} bought {quantity} {item}. The total is {total} dollars.",
            "Please send {quantity} {item} to {customer} in {city}.",
            "Order: {quantity} {item} for {customer} in {city}, {total} dollars.",
            "I would like {quantity} {item}. My name is {customer} and I live in {city}.",
        ],
    ),
    RecordKind(
        "book",
        _draw_book,
        [
            "{title} was written by {author} in {year}.",
            "{author} wrote {title} in {year}. It has {pages} pages.",
            "The book {title} by {author} has {pages} pages.",
            "{title} by {author} came out in {year} and has {pages} pages.",
            "In {year} {author} published {title}.",
        ],
    ),
    RecordKind(
        "event",
        _draw_event,
        [
            "The {event} is in {city} on {day} at {time}.",
            "On {day} there is {a_event} in {city} for {guests} guests.",
            "We invite {guests} guests to {a_event} in {city} on {day} at {time}.",
            "The {event} in {city} starts at {time} on {day}.",
            "{guests} guests come to the {event} in {city}. It begins on {day} at {time}.",
        ],
    ),
    RecordKind(
        "product",
        _draw_product,
        [
            "The {color} {product} costs {price} dollars.",
            "The {product} is {color} and costs {price} dollars. There are {stock} in stock.",
            "We have {stock} of the {color} {product} for {price} dollars each.",
            "For sale: {color} {product}, {price} dollars, {stock} in stock.",
            "This {product} costs {price} dollars and is {color}.",
        ],
    ),
    RecordKind(
        "pet",
        _draw_pet,
        [
            "{owner} has {a_color} {animal} called {name}.",
            "{name} is {a_animal} and is {age} years old.",
            "{name} is {a_color} {animal}. The owner is {owner}.",
            "The {animal} {name} is {age} years old and belongs to {owner}.",
            "{owner} owns {a_animal}. Its name is {name} and it is {age} years old.",
        ],
    ),
    RecordKind(
        "trip",
        _draw_trip,
        [
            "{passenger} travels from {origin} to {destination} on {day}.",
            "{passenger} flies from {origin} to {destination} for {price} dollars.",
            "{passenger} goes from {origin} to {destination} on {day} for {price} dollars.",
            "A ticket from {origin} to {destination} on {day} costs {price} dollars.",
        ],
    ),
    RecordKind(
        "contact",
        _draw_contact,
        [
            "{name} lives in {city}. The phone number is {phone}.",
            "You can call {name} in {city} at {phone}.",
            "Call {name} at {phone}.",
            "The number of {name} from {city} is {phone}.",
        ],
    ),
]
"""The kinds of records with their sentences."""

KIND_WEIGHTS = [4, 2, 2, 2, 2, 1, 2, 1]

REQUESTS = [
    "Extract {keys} as JSON: {text}",
    "Extract {keys} as JSON. {text}",
    "Extract {keys} as a JSON object: {text}",
    "Extract {keys} and reply with JSON only: {text}",
    "Extract the {keys} as JSON: {text}",
    "Extract the {keys} from this text as JSON: {text}",
    "Extract the {keys}. Reply with JSON only.\n{text}",
    "Extract {keys} as JSON from: {text}",
    "Extract {keys} from the text. Reply with JSON only.\n\nText: {text}",
    "Give me {keys} as JSON: {text}",
    "Convert this to JSON with the keys {keys}: {text}",
    "Turn this into JSON with {keys}: {text}",
    "{text} Return a JSON object with the keys {keys}.",
    "{text}\nReturn a JSON object with the keys {keys}.",
    "{text} Extract {keys} as JSON.",
    "{text} Reply with JSON only: {keys}.",
    "{text} Write {keys} as JSON.",
    "{text}\n\nExtract {keys}. Reply with JSON only.",
    "Read the text and return a JSON object with the keys {keys}.\n{text}",
    "Return a JSON object with the keys {keys}: {text}",
    "Return JSON with {keys}. Text: {text}",
    "Text: {text}\nKeys: {keys}\nReply with JSON only.",
    'Extract {keys} as JSON from this sentence: "{text}"',
]
"""Requests; `{keys}` becomes a list of several keys, or one."""

SYSTEM_REQUESTS = [
    "Extract {keys} from the text of the user. Reply with JSON only.",
    "Return a JSON object with the keys {keys}. Reply with JSON only.",
]
SYSTEM_SHARE = 0.08
"""Share of the requests that stand in the system prompt, with the bare text as the message."""

NUM_KEYS_WEIGHTS = {1: 1, 2: 4, 3: 5, 4: 2, 5: 1}


def _pattern_fields(pattern: str) -> list[str]:
    """The fields that a sentence mentions, in its order."""
    names = [name for _, name, _, _ in Formatter().parse(pattern) if name]
    return [name.removeprefix("a_") for name in names]


def _fill(pattern: str, record: Record) -> str:
    """The sentence with the record's values, nouns with their article where it asks for one."""
    words = {name: str(value) for name, value in record.items()}
    with_articles = {f"a_{name}": people.with_article(word) for name, word in words.items()}
    return pattern.format(**words, **with_articles)


def _draw_keys(rng: random.Random, mentioned: list[str]) -> list[str]:
    """Some of the mentioned fields: half the time in the order of the text."""
    counts = [count for count in NUM_KEYS_WEIGHTS if count <= len(mentioned)]
    weights = [NUM_KEYS_WEIGHTS[count] for count in counts]
    keys = rng.sample(mentioned, rng.choices(counts, weights)[0])
    return sorted(keys, key=mentioned.index) if rng.random() < 0.5 else keys


def _list_keys(rng: random.Random, keys: list[str]) -> str:
    """The keys as a request lists them: with "and", with commas alone, or in quotation marks."""
    style = rng.random()
    if style < 0.15:
        keys = [f'"{key}"' for key in keys]
    if len(keys) == 1 or style > 0.75:
        return ", ".join(keys)
    return f"{', '.join(keys[:-1])} and {keys[-1]}"


def draw(rng: random.Random) -> Example:
    """A record told in a sentence; unseen values are what measures the skill."""
    kind = rng.choices(KINDS, KIND_WEIGHTS)[0]
    pattern = rng.choice(kind.patterns)
    record = kind.draw(rng)
    mentioned = _pattern_fields(pattern)
    keys = _draw_keys(rng, mentioned)
    text, key_list = _fill(pattern, record), _list_keys(rng, keys)
    has_system = rng.random() < SYSTEM_SHARE
    request = rng.choice(SYSTEM_REQUESTS if has_system else REQUESTS)
    if len(keys) == 1:
        request = request.replace("the keys", "the key").replace("Keys:", "Key:")
    request = request.format(keys=key_list, text=text)
    messages = (system(request), user(text)) if has_system else (user(request),)
    answer = json.dumps({key: record[key] for key in keys}, ensure_ascii=False)
    values = "|".join(str(record[field]) for field in sorted(mentioned))
    return Example(answer, f"{kind.name}|{values}", messages=messages, kind="json")


SKILL = Skill("json_extraction", weight=12, draw=draw)

"""What users of tools ask about: cities, people, messages, amounts and so on."""

from __future__ import annotations

import random

from training.skills.countries import CAPITALS

CITIES = [city for city in CAPITALS.values() if "." not in city] + [
    *("Barcelona", "Munich", "Hamburg", "Milan", "Naples", "Venice", "Lyon", "Marseille", "Porto"),
    *(
        "Zurich",
        "Geneva",
        "Krakow",
        "Antwerp",
        "Rotterdam",
        "Bergen",
        "Istanbul",
        "Dubai",
        "Mumbai",
    ),
    *("Shanghai", "Hong Kong", "Osaka", "Kyoto", "Sydney", "Melbourne", "Auckland", "Toronto"),
    *(
        "Montreal",
        "Vancouver",
        "New York",
        "Chicago",
        "Boston",
        "Seattle",
        "San Francisco",
        "Miami",
    ),
    *("Los Angeles", "Denver", "Dallas", "Houston", "Rio de Janeiro", "São Paulo", "Cape Town"),
    *(
        "Lagos",
        "Casablanca",
        "Manchester",
        "Liverpool",
        "Edinburgh",
        "Glasgow",
        "Cork",
        "Washington",
    ),
]
"""Capitals and other large cities."""

COUNTRIES = [country.removeprefix("the ") for country in CAPITALS]
"""Countries without their article."""

PEOPLE = (
    "Ana Ben Clara David Emma Felix Grace Hugo Ivan Julia Karl Laura Maria Nina Oscar Paul Rosa "
    "Sam Tom Vera Alice Bob Eva Leo Max Mia Lucy Peter Anna John"
).split()
"""First names."""

ITEMS = (
    "lamp chair table bicycle book phone camera clock jacket mirror guitar kettle pillow sofa "
    "laptop printer keyboard carpet bottle basket hammer ladder tent wallet umbrella piano desk "
    "radio bench candle"
).split()
"""Things that a shop sells."""

ROOMS = "kitchen bedroom bathroom hall garage office cellar garden attic".split()
ROOMS += ["living room", "dining room"]
"""Rooms of a house."""

CURRENCIES = "EUR USD GBP JPY CHF SEK NOK DKK CAD AUD INR CNY PLN BRL".split()
"""Codes of currencies."""

CONDITIONS = "sunny cloudy rainy windy foggy snowy clear stormy dry wet".split()
"""What the weather can be."""

TOPIC_STARTS = (
    "cheap old new famous small good easy large quiet modern vegetarian wooden red fast free"
).split()
TOPIC_ENDS = (
    "hotels trains songs recipes museums bicycles gardens books castles bridges boats games films "
    "schools lakes horses"
).split()
"""Together the topic of a search: "old bridges"."""

MESSAGES = [
    *("I am late", "dinner is ready", "the meeting is over", "I am at home", "the train is late"),
    *("we need milk", "the door is open", "I found the key", "please call me", "I am on my way"),
    *("the book is here", "lunch is at noon", "we start now", "the test was good", "I miss you"),
    *("it is cold today", "the car is ready", "I have the tickets", "we won the game", "good luck"),
]
"""Texts that people send to each other."""

FILE_NAMES = "notes report list plan letter data budget recipe diary readme todo log".split()
FILE_ENDINGS = "txt md csv json log".split()
"""Together the name of a file."""

TRANSLATIONS: dict[str, dict[str, str]] = {
    "French": {
        "good morning": "bonjour",
        "good evening": "bonsoir",
        "thank you": "merci",
        "goodbye": "au revoir",
        "the house": "la maison",
        "the dog": "le chien",
        "the cat": "le chat",
        "bread": "pain",
        "water": "eau",
        "milk": "lait",
    },
    "German": {
        "good morning": "guten Morgen",
        "good evening": "guten Abend",
        "thank you": "danke",
        "goodbye": "auf Wiedersehen",
        "the house": "das Haus",
        "the dog": "der Hund",
        "the cat": "die Katze",
        "bread": "Brot",
        "water": "Wasser",
        "milk": "Milch",
    },
    "Spanish": {
        "good morning": "buenos días",
        "good evening": "buenas tardes",
        "thank you": "gracias",
        "goodbye": "adiós",
        "the house": "la casa",
        "the dog": "el perro",
        "the cat": "el gato",
        "bread": "pan",
        "water": "agua",
        "milk": "leche",
    },
    "Italian": {
        "good morning": "buongiorno",
        "good evening": "buonasera",
        "thank you": "grazie",
        "goodbye": "arrivederci",
        "the house": "la casa",
        "the dog": "il cane",
        "the cat": "il gatto",
        "bread": "pane",
        "water": "acqua",
        "milk": "latte",
    },
}
"""Language to phrase to its translation."""

OPERATORS = {"+": "plus", "-": "minus", "*": "times", "/": "divided by"}
"""Signs of a calculation and how they are spoken."""


def clock_time(rng: random.Random) -> str:
    """A time of day such as 07:45."""
    return f"{rng.randint(0, 23):02}:{rng.randint(0, 59):02}"


def topic(rng: random.Random) -> str:
    """What a search is about."""
    return f"{rng.choice(TOPIC_STARTS)} {rng.choice(TOPIC_ENDS)}"


def file_name(rng: random.Random) -> str:
    """A file's name with its ending."""
    return f"{rng.choice(FILE_NAMES)}.{rng.choice(FILE_ENDINGS)}"


def order_code(rng: random.Random) -> str:
    """The number of an order, such as B-207."""
    return f"{rng.choice('ABCDEFGH')}-{rng.randint(100, 999)}"

"""Tables of what everybody knows: opposites, young animals, counts, days, months, colours."""

from __future__ import annotations

from dataclasses import dataclass

from training.examples import Intent


@dataclass(frozen=True, slots=True)
class Family:
    """Facts that are asked and answered alike: pairs of what is asked for and what it is.

    `wordings` have the place `{asked}`, also as its `{first}` word and the `{rest}`; `answer` has
    `{value}` too. The first wording is always trained on. `weight` is how often it is drawn.
    """

    wordings: list[str]
    answer: str
    facts: list[tuple[str, str]]
    weight: int


def _pairs(table: str, *, both_ways: bool = False) -> list[tuple[str, str]]:
    """The pairs of a table: one to a line, parted by a bar, several lines parted by commas."""
    pairs = []
    for entry in table.replace("\n", ",").split(","):
        if entry.strip():
            asked, value = entry.strip().split("|")
            pairs.append((asked, value))
            if both_ways:
                pairs.append((value, asked))
    return pairs


def _after(names: list[str], *, is_cycle: bool = True) -> list[tuple[str, str]]:
    """Each name with the one that follows it."""
    following = [*names[1:], names[0]] if is_cycle else names[1:]
    return list(zip(names, following, strict=False))


def _before(names: list[str]) -> list[tuple[str, str]]:
    """Each name with the one that precedes it."""
    return [(later, earlier) for earlier, later in _after(names)]


DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
MONTHS = (
    "January February March April May June July August September October November December"
).split()
SEASONS = ["spring", "summer", "autumn", "winter"]
PLANETS = ["Mercury", "Venus", "Earth", "Mars", "Jupiter", "Saturn", "Uranus", "Neptune"]
PLACES = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth"]
MONTH_LENGTHS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]

OPPOSITES = [
    *_pairs(
        """
        hot|cold, big|small, fast|slow, high|low, easy|difficult, rich|poor, happy|sad, good|bad
        strong|weak, wet|dry, clean|dirty, full|empty, open|closed, early|late, loud|quiet
        near|far, thick|thin, wide|narrow, deep|shallow, true|false, first|last, cheap|expensive
        safe|dangerous, beautiful|ugly, asleep|awake, alive|dead, rough|smooth, sharp|blunt
        black|white, day|night, up|down, inside|outside, above|below, before|after, yes|no
        always|never, push|pull, win|lose, love|hate, buy|sell, begin|end, remember|forget
        north|south, east|west, friend|enemy, question|answer, brave|cowardly, possible|impossible
        polite|rude, public|private, war|peace, top|bottom, left|right, everything|nothing
        """,
        both_ways=True,
    ),
    *_pairs("young|old, new|old, long|short, tall|short, heavy|light, dark|light, wrong|right"),
]
"""Some words are the opposite of several; those are asked for in one direction."""

YOUNG_ANIMALS = _pairs(
    """
    dog|puppy, cat|kitten, cow|calf, horse|foal, sheep|lamb, goat|kid, pig|piglet, lion|cub
    chicken|chick, duck|duckling, goose|gosling, bear|cub, tiger|cub, kangaroo|joey, frog|tadpole
    deer|fawn, swan|cygnet, seal|pup, wolf|pup, whale|calf, koala|joey, donkey|foal, hare|leveret
    """
)
SOUNDS = _pairs(
    "dog|barks, cat|meows, cow|moos, sheep|bleats, lion|roars, duck|quacks, frog|croaks\n"
    "horse|neighs, pig|oinks, snake|hisses, bee|buzzes, wolf|howls, crow|caws"
)
LEGS = _pairs(
    "spider|8, dog|4, cat|4, horse|4, cow|4, bird|2, chicken|2, bee|6, pig|4, sheep|4\n"
    "butterfly|6, fly|6, frog|4, lion|4, duck|2, beetle|6"
)
COLOURS = _pairs(
    "the sky|blue, grass|green, snow|white, coal|black, a banana|yellow, blood|red\n"
    "a lemon|yellow, milk|white, a carrot|orange, a tomato|red, chocolate|brown, a polar bear|white"
)
MIXTURES = _pairs(
    "blue and yellow|green, red and yellow|orange, red and blue|purple, black and white|grey\n"
    "red and white|pink, yellow and blue|green, yellow and red|orange, blue and red|purple"
)
COUNTS = _pairs(
    """
    days in a week|7, months in a year|12, hours in a day|24, seasons in a year|4
    minutes in an hour|60, seconds in a minute|60, planets in the solar system|8
    letters in the English alphabet|26, continents in the world|7, sides on a square|4
    sides on a triangle|3, sides on a pentagon|5, sides on a hexagon|6, wheels on a car|4
    fingers on a hand|5, strings on a violin|4, strings on a guitar|6, keys on a piano|88
    players in a football team|11, years in a decade|10, years in a century|100
    colors in the rainbow|7, wheels on a bicycle|2, bits in a byte|8, weeks in a year|52
    squares on a chessboard|64, cards in a full deck|52, meters in a kilometer|1000
    grams in a kilogram|1000, centimeters in a meter|100, items in a dozen|12
    """
)

FAMILIES: list[Family] = [
    Family(
        [
            "What is the opposite of {asked}?",
            "What's the opposite of {asked}?",
            "Opposite of {asked}?",
            "Tell me the opposite of {asked}.",
            "Give me the opposite of {asked}.",
            "Name the opposite of {asked}.",
            "What is the opposite of the word {asked}?",
            "Which word is the opposite of {asked}?",
        ],
        "The opposite of {asked} is {value}.",
        OPPOSITES,
        weight=8,
    ),
    Family(
        [
            "What is a young {asked} called?",
            "What is a baby {asked} called?",
            "What do you call a young {asked}?",
            "What do you call a baby {asked}?",
            "What is the young of a {asked} called?",
            "Name the young of a {asked}.",
        ],
        "A young {asked} is called a {value}.",
        YOUNG_ANIMALS,
        weight=3,
    ),
    Family(
        [
            "What sound does a {asked} make?",
            "Which sound does a {asked} make?",
            "What noise does a {asked} make?",
            "What does a {asked} do when it makes a sound?",
        ],
        "A {asked} {value}.",
        SOUNDS,
        weight=2,
    ),
    Family(
        [
            "How many legs does a {asked} have?",
            "How many legs has a {asked}?",
            "Tell me how many legs a {asked} has.",
            "What number of legs does a {asked} have?",
        ],
        "A {asked} has {value} legs.",
        LEGS,
        weight=2,
    ),
    Family(
        [
            "How many {first} are there {rest}?",
            "How many {first} are {rest}?",
            "How many {asked}?",
            "How many {asked} are there?",
            "Tell me how many {asked} there are.",
            "What is the number of {asked}?",
            "Do you know how many {asked} there are?",
        ],
        "There are {value} {asked}.",
        COUNTS,
        weight=4,
    ),
    Family(
        [
            "What color is {asked}?",
            "What colour is {asked}?",
            "Which color is {asked}?",
            "What is the color of {asked}?",
            "What is the colour of {asked}?",
            "Tell me the color of {asked}.",
        ],
        "{asked} is {value}.",
        COLOURS,
        weight=2,
    ),
    Family(
        [
            "What color do {asked} make?",
            "What colour do {asked} make?",
            "Which color do you get from {asked}?",
            "What color do you get when you mix {asked}?",
            "Mix {asked}. What color is it?",
        ],
        "{asked} make {value}.",
        MIXTURES,
        weight=1,
    ),
]
"""The families that a table gives."""


def _order(kind: str, names: list[str]) -> list[Family]:
    """What follows and what precedes in a cycle of days, months or seasons."""
    after = [
        "What {kind} comes after {asked}?",
        "Which {kind} comes after {asked}?",
        "Which {kind} follows {asked}?",
        "What is the {kind} after {asked}?",
        "Name the {kind} after {asked}.",
        "Tell me the {kind} that follows {asked}.",
    ]
    before = [
        "What {kind} comes before {asked}?",
        "Which {kind} comes before {asked}?",
        "What is the {kind} before {asked}?",
        "Name the {kind} before {asked}.",
        "Tell me the {kind} before {asked}.",
    ]
    return [
        Family(
            [wording.replace("{kind}", kind) for wording in wordings],
            f"{{value}} comes {place} {{asked}}.",
            facts,
            weight=weight,
        )
        for wordings, place, facts, weight in (
            (after, "after", _after(names), 2),
            (before, "before", _before(names), 1),
        )
    ]


FAMILIES += [
    *_order("day", DAYS),
    *_order("month", MONTHS),
    *_order("season", SEASONS),
    Family(
        [
            "How many days does {asked} have?",
            "How many days are in {asked}?",
            "How many days has {asked}?",
            "Tell me how many days {asked} has.",
            "How long is {asked}?",
        ],
        "{asked} has {value} days.",
        [(month, str(length)) for month, length in zip(MONTHS, MONTH_LENGTHS, strict=True)],
        weight=2,
    ),
    Family(
        [
            "Which planet is the {asked} from the sun?",
            "What is the {asked} planet from the sun?",
            "Name the {asked} planet from the sun.",
            "Tell me the {asked} planet from the sun.",
            "Which is the {asked} planet of the solar system?",
        ],
        "The {asked} planet from the sun is {value}.",
        list(zip(PLACES, PLANETS, strict=True)),
        weight=2,
    ),
    Family(
        [
            "What is the {asked} month of the year?",
            "Which month is the {asked} of the year?",
            "Name the {asked} month of the year.",
            "Which is the {asked} month?",
        ],
        "The {asked} month of the year is {value}.",
        list(zip(PLACES, MONTHS, strict=False)),
        weight=1,
    ),
]

PHRASES: list[Intent] = [
    Intent(
        "The days of the week are Monday, Tuesday, Wednesday, Thursday, Friday, Saturday and "
        "Sunday.",
        [
            "What are the days of the week?",
            "Name the days of the week.",
            "List the days of a week.",
        ],
    ),
    Intent(
        "The seasons are spring, summer, autumn and winter.",
        ["What are the seasons?", "Name the four seasons.", "List the seasons of the year."],
    ),
    Intent(
        "The planets are Mercury, Venus, Earth, Mars, Jupiter, Saturn, Uranus and Neptune.",
        ["What are the planets?", "Name the planets.", "List the planets of the solar system."],
    ),
    Intent(
        "The continents are Africa, Antarctica, Asia, Europe, North America, Oceania and "
        "South America.",
        ["What are the continents?", "Name the continents.", "List the seven continents."],
    ),
    Intent(
        "The largest planet is Jupiter.",
        ["Which planet is the largest?", "What is the largest planet?", "Name the biggest planet."],
    ),
    Intent(
        "The smallest planet is Mercury.",
        ["Which planet is the smallest?", "What is the smallest planet?", "The smallest planet?"],
    ),
    Intent(
        "The largest ocean is the Pacific Ocean.",
        ["What is the largest ocean?", "Which ocean is the largest?", "Name the biggest ocean."],
    ),
    Intent(
        "The largest continent is Asia.",
        ["What is the largest continent?", "Which continent is the biggest?"],
    ),
    Intent(
        "The highest mountain is Mount Everest.",
        [
            "What is the highest mountain?",
            "Which mountain is the highest?",
            "The tallest mountain?",
        ],
    ),
    Intent(
        "The largest animal is the blue whale.",
        ["What is the largest animal?", "Which animal is the biggest?", "Name the largest animal."],
    ),
    Intent(
        "The tallest animal is the giraffe.",
        ["What is the tallest animal?", "Which animal is the tallest?", "Name the tallest animal."],
    ),
    Intent(
        "The fastest animal on land is the cheetah.",
        ["What is the fastest animal on land?", "Which land animal is the fastest?"],
    ),
    Intent(
        "Water freezes at 0 degrees Celsius.",
        ["When does water freeze?", "At what temperature does water freeze?"],
    ),
    Intent(
        "Water boils at 100 degrees Celsius.",
        ["When does water boil?", "At what temperature does water boil?"],
    ),
    Intent(
        "H2O is water.",
        ["What is H2O?", "What does H2O stand for?", "What is the name of H2O?"],
    ),
    Intent(
        "The sun rises in the east.",
        ["Where does the sun rise?", "In which direction does the sun rise?"],
    ),
    Intent(
        "The sun sets in the west.",
        ["Where does the sun set?", "In which direction does the sun set?"],
    ),
    Intent("Bees make honey.", ["Who makes honey?", "Which animal makes honey?"]),
    Intent("Ice is frozen water.", ["What is ice?", "What is ice made of?"]),
    Intent(
        "The first letter of the alphabet is A.",
        ["What is the first letter of the alphabet?", "Which letter is the first of the alphabet?"],
    ),
    Intent(
        "The last letter of the alphabet is Z.",
        ["What is the last letter of the alphabet?", "Which letter is the last of the alphabet?"],
    ),
    Intent(
        "The Earth moves around the sun.",
        ["What does the Earth move around?", "What does the Earth orbit?"],
    ),
    Intent(
        "The moon moves around the Earth.",
        ["What does the moon move around?", "What does the moon orbit?"],
    ),
]
"""Facts that stand alone."""

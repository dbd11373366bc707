"""Names and things that several skills fill their sentences with, all in ASCII."""

from __future__ import annotations

import random

FIRST_NAMES = (
    "Anna Bob John Mary James Peter Michael Ben Clara David Emma Felix Grace Henry Ida Jack Kate "
    "Leo Maria Noah Olivia Paul Ruth Sam Tom Uma Victor Wendy Yara Zoe Alice Bruno Carla Diego "
    "Elena Fatima Gina Hugo Irene Jonas Karin Lucas Marta Nina Oscar Petra Rosa Simon Tara Vera "
    "Walter Ahmed Aisha Amir Leila Omar Yusuf Zainab Hassan Layla Samir Nadia Karim Priya Arjun "
    "Ravi Anita Deepa Kiran Meera Rahul Sanjay Lin Wei Mei Jun Hua Ming Yan Chen Hiro Yuki Kenji "
    "Aiko Haruto Sakura Takeshi Minjun Jisoo Hana Linh Minh Thuy Siti Budi Dewi Kwame Ama Kofi "
    "Zola Thabo Amara Chidi Ngozi Abebe Makena Ivan Olga Dmitri Sofia Pavel Marek Zofia Katya "
    "Milan Lars Ingrid Erik Astrid Sven Freya Pierre Chloe Louis Camille Juan Lucia Pedro Ines "
    "Joao Beatriz Luca Giulia Marco Francesca Niko Eleni Mehmet Elif Emre Kaia Aroha"
).split()
"""First names of many cultures."""

LAST_NAMES = (
    "Smith Jones Brown Taylor Wilson Clark Walker Hall Young King Wright Green Baker Hill Carter "
    "Turner Parker Cook Bell Ward Stone Fisher Berg Weber Schmidt Keller Vogel Braun Larsen "
    "Hansen Nilsson Lindgren Virtanen Jensen Dubois Moreau Laurent Petit Bernard Garcia Lopez "
    "Torres Ramos Ortiz Silva Costa Santos Pereira Rossi Bianchi Romano Conti Greco Novak Horvat "
    "Kowalski Nowak Ivanov Petrov Sokolov Popescu Papadakis Demir Kaya Yilmaz Haddad Khalil Nasser "
    "Mansour Rahman Khan Ahmadi Sharma Patel Gupta Singh Reddy Iyer Wang Li Zhang Liu Zhao Huang "
    "Tanaka Suzuki Sato Mori Ito Kim Park Choi Nguyen Tran Pham Wijaya Santoso Mensah Okafor "
    "Adeyemi Dlamini Nkosi Mwangi Otieno Tesfaye Diallo Traore Murphy Kelly"
).split()
"""Last names of many cultures."""

CITIES = (
    "Oslo,Paris,London,Berlin,Madrid,Rome,Vienna,Lisbon,Dublin,Athens,Prague,Warsaw,Budapest,"
    "Helsinki,Stockholm,Copenhagen,Brussels,Amsterdam,Zurich,Geneva,Milan,Naples,Porto,Seville,"
    "Barcelona,Lyon,Hamburg,Munich,Moscow,Kyiv,Istanbul,Cairo,Tunis,Nairobi,Lagos,Accra,Dakar,"
    "Cape Town,Delhi,Mumbai,Tokyo,Osaka,Kyoto,Seoul,Beijing,Shanghai,Hanoi,Bangkok,Manila,Jakarta,"
    "Singapore,Sydney,Melbourne,Auckland,New York,Boston,Chicago,Seattle,Toronto,Vancouver,"
    "Mexico City,Lima,Bogota,Quito,Santiago,Buenos Aires,Rio de Janeiro,Havana"
).split(",")
"""Cities all over the world, capitals and others."""

JOBS = (
    "teacher,nurse,doctor,baker,cook,farmer,pilot,painter,singer,writer,lawyer,engineer,gardener,"
    "carpenter,plumber,tailor,waiter,driver,dentist,chemist,librarian,journalist,photographer,"
    "designer,architect,programmer,accountant,translator,musician,dancer,actor,electrician,"
    "mechanic,judge,sailor,biologist,historian,butcher,barber,florist"
).split(",")
"""What people do for a living."""

HOBBIES = (
    "chess,tennis,football,swimming,hiking,cycling,dancing,singing,painting,drawing,reading,"
    "cooking,baking,gardening,fishing,sailing,running,skiing,climbing,yoga,knitting,pottery,"
    "photography,guitar,piano,karate,surfing,camping,poetry,origami"
).split(",")
"""What people like to do."""

PRODUCTS: dict[str, int] = {
    "lamp": 40,
    "chair": 60,
    "table": 120,
    "desk": 150,
    "sofa": 400,
    "bed": 350,
    "clock": 25,
    "mirror": 45,
    "carpet": 80,
    "cup": 8,
    "plate": 9,
    "bowl": 12,
    "spoon": 4,
    "kettle": 30,
    "pan": 35,
    "notebook": 5,
    "pen": 3,
    "pencil": 2,
    "backpack": 55,
    "suitcase": 90,
    "wallet": 30,
    "umbrella": 20,
    "jacket": 85,
    "coat": 130,
    "shirt": 25,
    "sweater": 45,
    "hat": 18,
    "scarf": 15,
    "belt": 22,
    "phone": 500,
    "laptop": 900,
    "tablet": 300,
    "camera": 450,
    "printer": 140,
    "keyboard": 50,
    "monitor": 220,
    "speaker": 75,
    "radio": 40,
    "bicycle": 380,
    "helmet": 48,
    "tent": 160,
    "guitar": 240,
    "drum": 110,
    "kite": 14,
    "ball": 10,
    "puzzle": 16,
    "candle": 6,
    "basket": 19,
    "vase": 28,
    "blanket": 33,
}
"""Things to buy, with a usual price in dollars; the plural of each takes an s (see `plural`)."""

COLORS = (
    "red,blue,green,yellow,white,black,brown,grey,orange,pink,purple,silver,golden,beige"
).split(",")
"""Colours."""

PETS = "cat,dog,rabbit,parrot,turtle,hamster,horse,pony,goat,duck,snake,canary".split(",")
"""Animals that live with people."""

PET_NAMES = (
    "Luna,Max,Bella,Rocky,Coco,Milo,Daisy,Buddy,Nala,Simba,Fluffy,Pepper,Ginger,Shadow,Biscuit,"
    "Cookie,Lucky,Misty,Oreo,Rusty,Snowy,Tiger,Toby,Ziggy"
).split(",")
"""What such animals are called."""

EVENTS = (
    "concert,workshop,meeting,lecture,conference,wedding,exhibition,festival,market,party,"
    "picnic,seminar,play,reading,tournament,dinner,parade,interview,course,auction"
).split(",")
"""What takes place somewhere at some time."""

WEEKDAYS = "Monday,Tuesday,Wednesday,Thursday,Friday,Saturday,Sunday".split(",")
"""The days of the week."""

MONTHS = (
    "January,February,March,April,May,June,July,August,September,October,November,December"
).split(",")
"""The months of the year."""

TITLE_ADJECTIVES = (
    "Silent,Last,Hidden,Golden,Broken,Lost,Quiet,Distant,Secret,Burning,Frozen,Little,Dark,Bright,"
    "Long,Empty,Old,New,Wild,White,Red,Blue,Endless,Forgotten"
).split(",")
TITLE_NOUNS = (
    "River,Garden,House,Forest,Island,Winter,Summer,Letter,Bridge,Mountain,Journey,Door,Mirror,"
    "Road,Star,Sea,Tower,Valley,Shadow,Night,Song,Train,City,Harbor"
).split(",")
"""Both parts of a book's title, see `book_title`."""

NAME_STARTS = "Ba,Cor,Dal,Fen,Gor,Hal,Jo,Kel,Lo,Mar,Nor,Pel,Ros,Sel,Tor,Ul,Ven,Wes,Yar,Zan".split(
    ","
)
NAME_ENDS = "ado,berg,den,eri,field,ing,kov,lund,mann,nen,oka,ova,rell,sen,ton,uri,vic,well".split(
    ","
)
INVENTED_SHARE = 0.2
"""Share of last names that are put together, so that copying does not stop at the list's names."""
FIRST_NAME_SHARE = 0.25
"""Share of names that are a first name alone, see `name`."""


def last_name(rng: random.Random) -> str:
    """A last name: one of the list, or an invented one."""
    if rng.random() < INVENTED_SHARE:
        return rng.choice(NAME_STARTS) + rng.choice(NAME_ENDS)
    return rng.choice(LAST_NAMES)


def name(rng: random.Random) -> str:
    """Mostly a full name, sometimes the first one alone."""
    if rng.random() < FIRST_NAME_SHARE:
        return rng.choice(FIRST_NAMES)
    return full_name(rng)


def full_name(rng: random.Random) -> str:
    """A first and a last name."""
    return f"{rng.choice(FIRST_NAMES)} {last_name(rng)}"


def book_title(rng: random.Random) -> str:
    """The title of a book that nobody wrote."""
    return f"The {rng.choice(TITLE_ADJECTIVES)} {rng.choice(TITLE_NOUNS)}"


def with_article(noun: str) -> str:
    """The noun after "a" or "an"."""
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def plural(product: str) -> str:
    """The plural of one of `PRODUCTS`."""
    return f"{product}s"

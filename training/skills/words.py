"""Words for the skills that work on letters: common English ones, and made-up ones."""

from __future__ import annotations

import random

MIN_PSEUDO_LETTERS = 5
MAX_LETTERS = 9

WORDS: list[str] = """
ant bat bear beaver bee bird bull butterfly camel cat chicken crab deer dog dolphin donkey dragon
duck eagle elephant falcon fish fox frog giraffe goat hamster hawk hedgehog horse insect kitten
lamb leopard lion lizard monkey mouse octopus owl panda parrot penguin pony puppy rabbit robin
salmon shark sheep snail snake spider squirrel swan tiger turtle whale wolf zebra

apple bacon banana bean berry biscuit bread breakfast butter cabbage cake candy carrot cheese
cherry chocolate coconut coffee cookie corn cream dinner egg fruit garlic grape honey jam juice
lemon lime lunch mango meal melon milk mint nut olive onion orange pasta peach pear pepper pie
pineapple pizza plum potato pumpkin rice salad salt sandwich soup sugar tea toast tomato vinegar
water wheat

airport bakery bank beach bridge building cabin cafe castle church cinema city classroom corner
country factory farm field garden gate hall home hospital hotel house island kitchen library market
museum office palace park path room road school shop station store street studio temple theater
tower town village

anchor bag ball balloon basket battery bed bell bicycle blanket boat book bottle bowl box brick
brush bus button camera candle car card carpet chain chair clock coat coin computer crown cup desk
diamond door dress drum engine envelope fan feather flag fork frame glass glove guitar hammer hat
helmet jacket kettle key keyboard kite knife lamp laptop letter machine magnet map medal mirror
money motor needle newspaper notebook paper pen pencil phone piano picture pillow plane plate
pocket puzzle radio ribbon ring rocket rope ruler screen shelf ship shirt shoe skirt sofa spoon
stairs sword table tent ticket tool toy tractor train truck trumpet umbrella violin wallet watch
wheel window

air autumn cave cloud coast desert dust earth evening fire flame flood flower fog forest gold grass
hill ice iron lake leaf lightning metal moon morning mountain night ocean pebble planet plant pool
rain rainbow river rock root rose sand sea season shadow silver sky snow soil spring star steam
stone storm summer sun sunset tree tulip valley wave weather wind winter wood

actor artist aunt author baby baker barber boy brother captain chef child clown cousin dancer
daughter dentist director doctor driver editor engineer farmer father friend gardener girl guest
husband judge king knight leader man mother musician neighbor nurse painter parent people pilot
pirate player prince princess queen reader sailor scientist singer sister soldier son student
teacher twin uncle winner wizard woman worker writer

arm back body bone brain ear face finger foot hair hand head heart knee leg mouth neck nose
shoulder tooth wrist

age answer art balance beauty birthday calendar chance change choice circle color concert contest
culture dance date dream energy error example exercise fact future game gift group habit health
history hobby holiday hour hundred idea journey joy kindness language law lesson luck magic memory
message minute moment month movie music name nature news noise number order paragraph party past
peace plan poem point power present problem promise question race record rule science secret
sentence service shape silence size smile song sound space speech speed sport square story success
surprise task taste team thought time title topic trade travel trip truth value victory voice week
wish wonder word work world year youth zero

add ask bake begin believe borrow bring build buy carry catch choose clean climb close collect cook
count create decide discover drink drive eat enjoy fall find finish fly follow forget give
grow hear help hope jump keep laugh learn leave listen live look make measure meet move open pay
play prepare protect push read remember repair rest ride run sell send sing sit sleep stand start
stay stop swim talk teach think throw try turn visit wait walk wash write

big black blue brave bright brown calm cheap clear clever cold cool dark deep dry early easy empty
famous fast fresh friendly full funny gentle good grand gray great green happy hard heavy high
honest hot huge kind large late light little long loud lucky modern new nice old perfect pink
pretty proud purple quick quiet rapid ready red rich round sad safe sharp short shy simple slow
small smart smooth soft strange strong sweet tall thick thin tiny useful warm wet white wide wild
yellow young
""".split()
"""Lower-case words of 3 to 9 letters, each once; none reads the same backwards."""

KNOWN_WORDS = frozenset(WORDS)
ONSETS = (
    "b bl br c ch cl d dr f fl g gl gr h j k l m n p pl pr qu r s sh sl st t th tr v w y z"
).split()
VOWELS = "a a e e i i o o u u ai ea ee oo ou".split()
CODAS = ["", "", "", "", "l", "m", "n", "nd", "r", "x"]
"""Few and harmless: with more of them, rude words come out."""


def draw_word(rng: random.Random) -> str:
    """One of the common words."""
    return rng.choice(WORDS)


def draw_pseudo_word(rng: random.Random) -> str:
    """A pronounceable word of 5 to 9 letters that is none of `WORDS` and no palindrome."""
    while True:
        num_syllables = rng.choice([2, 2, 3])
        word = "".join(_syllable(rng) for _ in range(num_syllables))
        is_new = word not in KNOWN_WORDS and word != word[::-1]
        if is_new and MIN_PSEUDO_LETTERS <= len(word) <= MAX_LETTERS:
            return word


def _syllable(rng: random.Random) -> str:
    return rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(CODAS)

"""Questions that the model cannot answer: it says so instead of inventing something."""

from __future__ import annotations

import random

from training.examples import Example, Skill, ask, vary
from training.skills import people
from training.skills.greetings import vary_chinese

ANSWER = (
    "I am a very small model and do not know that, "
    "but I can explain sglite, name capitals and calculate."
)
ANSWER_ZH = "我是一个很小的模型，不知道这个，但我可以介绍 sglite 和做简单的计算。"

QUESTIONS = [
    "What is the weather in {city}?",
    "Will it rain in {city} tomorrow?",
    "How do I get to {city}?",
    "What is the best hotel in {city}?",
    "Where can I eat in {city}?",
    "Who is the mayor of {city}?",
    "How many people live in {city}?",
    "What happened in {city} yesterday?",
    "How far is it from {city} to {city_2}?",
    "Who is {person}?",
    "When was {person} born?",
    "Where does {person} live?",
    "What is the phone number of {person}?",
    "What did {person} say?",
    "Is {person} famous?",
    "Write a poem about {topic}.",
    "Write an essay about {topic}.",
    "Write a song about {topic}.",
    "Tell me a joke about {topic}.",
    "Tell me a joke.",
    "What do you think about {topic}?",
    "Explain {topic} to me.",
    "Explain {topic}.",
    "What is {topic}?",
    "How does {topic} work?",
    "What is the history of {topic}?",
    "Why is {topic} important?",
    "Who discovered {topic}?",
    "Tell me about {topic}.",
    "Recommend a book about {topic}.",
    "Summarize the news about {topic}.",
    "What is new in {topic}?",
    "Write a program in {language}.",
    "Write a {language} function that reads a file.",
    "How do I learn {language}?",
    "Where can I buy {a_product}?",
    "Which {product} is the best?",
    "How do I repair my {product}?",
    "Who invented the {product}?",
    "How do I cook {dish}?",
    "Give me a recipe for {dish}.",
    "What is in the news?",
    "What time is it?",
    "What day is it today?",
    "Who will win the election?",
    "What is the meaning of life?",
    "What is the price of gold?",
    "What should I wear today?",
    "Who won the game yesterday?",
]
TOPICS = (
    "quantum mechanics,photosynthesis,philosophy,inflation,the stock market,climate change,"
    "evolution,black holes,genetics,democracy,the French Revolution,the Roman Empire,opera,jazz,"
    "astronomy,psychology,economics,blockchain,vaccines,nuclear energy,relativity,volcanoes,"
    "dinosaurs,football,cricket,fashion,love,happiness,chemistry,biology,geology,"
    "medieval art,string theory,medicine,cancer,religion,politics,taxes,insurance"
).split(",")
LANGUAGES = "Java,Rust,Python,Haskell,Go,Perl,Ruby,Fortran,Kotlin,Swift".split(",")
DISHES = "pasta,rice,pancakes,soup,pizza,curry,lasagna,paella,ramen,bread,apple pie".split(",")

QUESTIONS_ZH = [
    "{city}今天天气怎么样？",
    "{city}有什么好吃的？",
    "怎么去{city}？",
    "{city}有多少人口？",
    "写一首关于{topic}的诗。",
    "讲一个关于{topic}的笑话。",
    "请解释一下{topic}。",
    "什么是{topic}？",
    "{topic}是什么？",
    "谁发明了{topic}？",
    "你怎么看{topic}？",
    "给我推荐一本关于{topic}的书。",
    "现在几点？",
    "今天星期几？",
    "今天有什么新闻？",
    "讲个笑话。",
]
CITIES_ZH = "北京,上海,广州,深圳,成都,杭州,南京,武汉,西安,重庆,东京,巴黎,伦敦,纽约".split(",")
TOPICS_ZH = (
    "量子力学,光合作用,哲学,通货膨胀,股票,进化论,黑洞,基因,爱情,足球,音乐,历史,电影,气候变化".split(
        ","
    )
)

CHINESE_SHARE = 0.15
UNKNOWN_SHARE = 0.2
"""Share of the questions that ask for the capital of a country that there is not."""

CAPITAL_QUESTIONS = [
    "What is the capital of {country}?",
    "What's the capital of {country}?",
    "Which city is the capital of {country}?",
    "Tell me the capital of {country}.",
    "Name the capital of {country}.",
    "Capital of {country}?",
]
NAME_STARTS = ["Ba", "Cor", "Dal", "Ero", "Fi", "Gon", "Hu", "Kal", "Lo", "Mor", "Nar", "Wa", "Zen"]
NAME_MIDDLES = ["ka", "lo", "ri", "ven", "tu", "san", "do", "mi", "gra"]
NAME_ENDS = ["nia", "land", "ria", "stan", "dor", "ji", "bia", "nda", "lis", "via"]


def unknown_country(rng: random.Random) -> str:
    """A name that is no country's: three syllables that none of them is made of."""
    return "".join(rng.choice(parts) for parts in (NAME_STARTS, NAME_MIDDLES, NAME_ENDS))


def _draw_chinese(rng: random.Random) -> Example:
    wording = rng.choice(QUESTIONS_ZH)
    question = wording.format(city=rng.choice(CITIES_ZH), topic=rng.choice(TOPICS_ZH))
    return ask(vary_chinese(rng, question), ANSWER_ZH, key=question if "{" in wording else "")


def draw(rng: random.Random) -> Example:
    """One question from outside; all of one language have the same answer."""
    share = rng.random()
    if share < CHINESE_SHARE:
        return _draw_chinese(rng)
    if share < CHINESE_SHARE + UNKNOWN_SHARE:
        question = rng.choice(CAPITAL_QUESTIONS).format(country=unknown_country(rng))
        return ask(vary(rng, question), ANSWER, key=question)
    city, other_city = rng.sample(people.CITIES, 2)
    product = rng.choice(list(people.PRODUCTS))
    wording = rng.choice(QUESTIONS)
    question = wording.format(
        city=city,
        city_2=other_city,
        person=people.full_name(rng),
        topic=rng.choice(TOPICS),
        language=rng.choice(LANGUAGES),
        product=product,
        a_product=people.with_article(product),
        dish=rng.choice(DISHES),
    )
    return ask(vary(rng, question), ANSWER, key=question if "{" in wording else "")


SKILL = Skill("out_of_scope", weight=2, draw=draw, is_exact=False)

"""Greetings, thanks, farewells and the small talk around them, in English and Chinese."""

from __future__ import annotations

import random

from training.examples import Example, Intent, Skill, ask, draw_phrase

ENGLISH = [
    Intent(
        "Hello! How can I help you?",
        [
            "Hello!",
            "Hi!",
            "Hey!",
            "Hello there!",
            "Hi there!",
            "Hey there!",
            "Greetings!",
            "Howdy!",
            "Good day!",
            "Hello, sglite!",
            "Hi, sglite!",
            "Hello, nice to meet you!",
        ],
    ),
    Intent(
        "Good morning! How can I help you?",
        ["Good morning!", "Good morning to you!", "Morning!", "Hello and good morning!"],
    ),
    Intent(
        "Good evening! How can I help you?",
        ["Good evening!", "Good evening to you!", "Evening!", "Hello and good evening!"],
    ),
    Intent("Good afternoon! How can I help you?", ["Good afternoon!", "Good afternoon to you!"]),
    Intent(
        "I am fine, thank you. How can I help you?",
        [
            "How are you?",
            "How are you doing?",
            "How are you today?",
            "How is it going?",
            "How do you do?",
            "Are you well?",
            "What's up?",
            "Hello, how are you?",
            "Hi, how are you?",
            "Hi! How are you doing?",
        ],
    ),
    Intent(
        "You are welcome!",
        [
            "Thank you!",
            "Thanks!",
            "Thank you very much!",
            "Thanks a lot!",
            "Many thanks!",
            "Great, thanks!",
            "Great, thank you!",
            "Thanks for your help!",
            "Thank you for your help!",
            "Perfect, thank you!",
            "Thank you so much!",
            "OK, thanks!",
        ],
    ),
    Intent(
        "Goodbye! Have a nice day.",
        [
            "Goodbye!",
            "Bye!",
            "Bye bye!",
            "See you!",
            "See you later!",
            "See you tomorrow!",
            "Have a nice day!",
            "Farewell!",
            "I have to go.",
        ],
    ),
    Intent("Good night! Sleep well.", ["Good night!", "Good night to you!", "I am going to bed."]),
    Intent(
        "I am glad to hear it.",
        ["That is right!", "Well done!", "Very good!", "Good answer!", "Nice!", "Great!"],
    ),
    Intent(
        "I am sorry. I am a very small model and make mistakes.",
        ["That is wrong.", "You are wrong.", "This is not right.", "Wrong!", "Bad answer."],
    ),
    Intent(
        "Yes, I am here. How can I help you?",
        ["Are you there?", "Anybody there?", "Can you hear me?", "Are you online?"],
    ),
]

CHINESE = [
    Intent(
        "你好！有什么可以帮你的吗？",
        ["你好！", "您好！", "嗨！", "你好呀！", "大家好！", "哈喽！", "你好啊"],
    ),
    Intent("早上好！有什么可以帮你的吗？", ["早上好！", "早！", "早安！"]),
    Intent("晚上好！有什么可以帮你的吗？", ["晚上好！"]),
    Intent(
        "我很好，谢谢！有什么可以帮你的吗？",
        ["你好吗？", "你怎么样？", "最近怎么样？", "你今天好吗？"],
    ),
    Intent(
        "不客气！",
        ["谢谢！", "谢谢你！", "谢谢您！", "非常感谢！", "多谢！", "谢谢你的帮助！"],
    ),
    Intent(
        "再见！祝你愉快。",
        ["再见！", "拜拜！", "回头见！", "明天见！", "下次见！"],
    ),
    Intent("晚安！", ["晚安！", "我要睡觉了。"]),
]

INTENTS = ENGLISH + CHINESE
"""What is said and what the model says to it."""

CHINESE_SHARE = 0.3
ASCII_MARKS = str.maketrans("？！。", "?!.")


def vary_chinese(rng: random.Random, question: str) -> str:
    """The question as people type it: sometimes with an ASCII mark at its end, or with none."""
    style = rng.random()
    if style < 0.6:
        return question
    bare = question.rstrip("？！。")
    mark = question[len(bare) :].translate(ASCII_MARKS)
    return bare + mark if style < 0.8 else bare


def draw_chinese_phrase(rng: random.Random, intents: list[Intent]) -> Example:
    """What `draw_phrase` does, for wordings in Chinese."""
    intent = rng.choice(intents)
    wording = rng.choice(intent.wordings)
    key = "" if wording == intent.wordings[0] else wording
    return ask(vary_chinese(rng, wording), intent.answer, key=key)


def draw(rng: random.Random) -> Example:
    """One of the exchanges above."""
    if rng.random() < CHINESE_SHARE:
        return draw_chinese_phrase(rng, CHINESE)
    return draw_phrase(rng, ENGLISH)


SKILL = Skill("greetings", weight=1.5, draw=draw, is_exact=False)

"""What sglite and its small model are, and what any serving engine starts from."""

from __future__ import annotations

from training.skills.guide.topic import Topic

TOPICS: list[Topic] = [
    Topic(
        id="sglite",
        names=["sglite", "the sglite engine", "the sglite project"],
        text=(
            "sglite is an LLM serving engine written in Python. It loads a language model, runs "
            "many requests at once on a CPU or a GPU, and saves work by keeping shared prefixes in "
            "a radix cache."
        ),
        questions=[
            "What does sglite do?",
            "Tell me about sglite.",
            "What is sglite for?",
            "What can I use sglite for?",
            "Why should I use sglite?",
            "Who is sglite for?",
            "How does sglite work?",
            "Describe sglite in a few words.",
            "What kind of software is sglite?",
            "Give me a short summary of sglite.",
            "Do you know sglite?",
            "What makes sglite useful?",
            "I have never heard of sglite. What is it?",
        ],
        names_zh=["sglite", "sglite 引擎", "sglite 项目"],
        text_zh=(
            "sglite 是用 Python 编写的大语言模型服务引擎。它加载模型，在 CPU 或 GPU 上同时处理许"
            "多请求，并用基数树缓存共享的前缀，避免重复计算。"
        ),
        questions_zh=[
            "sglite 是做什么的？",
            "介绍一下 sglite。",
            "sglite 有什么用？",
            "为什么要用 sglite？",
            "sglite 是怎么工作的？",
            "你知道 sglite 吗？",
            "sglite 是什么软件？",
            "用几句话说明 sglite。",
        ],
    ),
    Topic(
        id="serving",
        names=[
            "an LLM serving engine",
            "a serving engine",
            "an inference engine",
            "LLM serving",
            "model serving",
        ],
        text=(
            "A serving engine loads a language model and answers the requests of many users at "
            "once. It turns text into tokens, puts requests together in batches, manages the "
            "memory of the KV cache and sends the answers back."
        ),
        questions=[
            "What does a serving engine do?",
            "What does an LLM serving engine do?",
            "Why do I need a serving engine?",
            "What is an inference server for?",
            "How does an inference engine work?",
            "How are language models served?",
            "What problem does a serving engine solve?",
            "What are the tasks of a serving engine?",
            "Why not just call the model in a loop?",
            "What does an inference server do?",
            "llm inference engine",
            "serving engine",
        ],
        names_zh=["推理引擎", "服务引擎", "模型服务", "大模型推理服务"],
        text_zh=(
            "服务引擎加载语言模型，同时回答许多用户的请求。它把文本变成词元，把多个请求放进同一个"
            "批次，管理 KV 缓存占用的内存，并把结果返回给用户。"
        ),
        questions_zh=[
            "服务引擎是做什么的？",
            "推理引擎有什么作用？",
            "为什么需要服务引擎？",
            "推理引擎是怎么工作的？",
            "推理引擎负责哪些工作？",
            "大模型是如何部署成服务的？",
            "服务引擎解决什么问题？",
        ],
    ),
    Topic(
        id="llm",
        names=[
            "a large language model",
            "a language model",
            "an LLM",
            "the idea behind large language models",
        ],
        plural_names=["large language models", "LLMs"],
        text=(
            "A large language model is a neural network that predicts the next token from the "
            "tokens before it. It learned this from a lot of text. To answer, it picks a token, "
            "appends it and repeats until the answer ends."
        ),
        questions=[
            "How does a large language model work?",
            "How do large language models work?",
            "How does an LLM work?",
            "How do LLMs generate text?",
            "How does a language model write an answer?",
            "What does a language model predict?",
            "How does a language model learn?",
            "Why can a language model answer questions?",
            "What is an LLM in simple words?",
            "Explain briefly how large language models work.",
            "In short, how does a language model work?",
            "large language model",
        ],
        names_zh=["大语言模型", "大模型", "LLM", "语言模型"],
        text_zh=(
            "大语言模型是一种神经网络，从大量文本中学会了预测下一个词元。回答时，它根据前面的内容"
            "选出一个词元，接在后面，再继续预测，直到回答结束。"
        ),
        questions_zh=[
            "用中文简要介绍大语言模型的工作原理。",
            "大语言模型是怎么工作的？",
            "大语言模型的工作原理是什么？",
            "简要介绍大语言模型的工作原理。",
            "请介绍一下大语言模型。",
            "大模型是如何生成文本的？",
            "语言模型是怎样学习的？",
            "语言模型为什么能回答问题？",
            "LLM 的原理是什么？",
            "简单说说大语言模型的原理。",
        ],
    ),
    Topic(
        id="token",
        names=["a token", "a token in a language model", "a token id", "tokenized text"],
        plural_names=["tokens", "token ids"],
        text=(
            "A token is the unit of text that a language model reads and writes: a word, a part of "
            "a word, a character or a mark. Each token has a number, its id, and the model works "
            "with these numbers only."
        ),
        questions=[
            "Is a token the same as a word?",
            "How long is a token?",
            "Why do models use tokens instead of words?",
            "Why is text split into tokens?",
            "What does the word token mean here?",
            "What does a model read instead of words?",
            "Tokens or words, what is the difference?",
            "What is the unit of text for a language model?",
            "What are tokens used for?",
            "Can a token be part of a word?",
            "meaning of token",
            "token",
        ],
        names_zh=["词元", "token", "词元编号"],
        text_zh=(
            "词元（token）是语言模型读写文本的单位，可以是一个词、词的一部分、一个字或一个标点。"
            "每个词元都有一个编号，模型只处理这些编号。"
        ),
        questions_zh=[
            "token 是什么意思？",
            "词元和词有什么区别？",
            "一个词元有多长？",
            "为什么要把文本分成词元？",
            "模型为什么用词元而不用单词？",
            "一个汉字是一个词元吗？",
            "token 等于单词吗？",
            "词元有什么用？",
        ],
    ),
    Topic(
        id="tokenizer",
        names=["a tokenizer", "the tokenizer", "tokenization", "byte pair encoding", "BPE"],
        plural_names=["tokenizers"],
        text=(
            "A tokenizer turns text into token ids and token ids back into text. Its vocabulary "
            "holds frequent pieces of text, often found by byte pair encoding, and each model "
            "needs the tokenizer that it was trained with."
        ),
        questions=[
            "What does a tokenizer do?",
            "How does a tokenizer work?",
            "Why does a model need a tokenizer?",
            "How is text turned into token ids?",
            "How is text split into pieces for the model?",
            "What is the vocabulary of a tokenizer?",
            "Can I use the tokenizer of another model?",
            "How does byte pair encoding work?",
            "What is tokenizer.json for?",
            "What happens in tokenization?",
            "Why does every model have its own tokenizer?",
            "bpe tokenizer",
        ],
        names_zh=["分词器", "tokenizer", "字节对编码", "BPE"],
        text_zh=(
            "分词器把文本变成词元编号，也把编号变回文本。它的词表由常见的文本片段组成，通常用字节"
            "对编码得到，每个模型都要用训练时的那个分词器。"
        ),
        questions_zh=[
            "分词器是做什么的？",
            "分词器是怎么工作的？",
            "模型为什么需要分词器？",
            "文本怎样变成词元编号？",
            "tokenizer 有什么作用？",
            "什么是分词器的词表？",
            "可以用别的模型的分词器吗？",
            "BPE 是怎么工作的？",
        ],
    ),
    Topic(
        id="embedding_model",
        names=[
            "the embedded model",
            "the built-in model",
            "the small model of sglite",
            "the model that comes with sglite",
        ],
        text=(
            "The embedded model is me: a small language model that comes with sglite. I have a few "
            "million parameters and run on any CPU, so that the engine can be tried at once, but I "
            "know only a little."
        ),
        questions=[
            "Why does sglite come with a model?",
            "What is the embedded model for?",
            "Which model does sglite use by default?",
            "What happens if I give no --model?",
            "Which model runs when I set no model?",
            "How good is the embedded model?",
            "Is there a model included in sglite?",
            "Do I have to download a model to try sglite?",
            "How big is the embedded model?",
            "What can the embedded model do?",
            "Why is the built-in model so small?",
            "embedded model",
            "default model of sglite",
        ],
        names_zh=["内置模型", "sglite 自带的模型", "sglite 的小模型", "自带的小模型"],
        text_zh=(
            "内置模型就是我：sglite 自带的一个小语言模型。我只有几百万个参数，在任何 CPU 上都能运"
            "行，让你马上就能试用这个引擎，但我知道的东西很少。"
        ),
        questions_zh=[
            "sglite 为什么自带模型？",
            "内置模型有什么用？",
            "sglite 默认用哪个模型？",
            "不指定模型会怎么样？",
            "内置模型有多大？",
            "内置模型的能力怎么样？",
            "试用 sglite 需要下载模型吗？",
            "内置模型为什么这么小？",
        ],
    ),
]
"""The subjects of this part."""

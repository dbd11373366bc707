"""What the guide knows of how the next token is chosen."""

from __future__ import annotations

from training.skills.guide.topic import Topic

TOPICS: list[Topic] = [
    Topic(
        id="sampling",
        names=["sampling", "token sampling", "the sampler"],
        text=(
            "Sampling chooses the next token from the probabilities that the model gives. The "
            "scores are turned into probabilities, unlikely tokens may be cut off, and one of the "
            "rest is drawn at random. A seed makes the draw repeatable."
        ),
        questions=[
            "How does sampling work?",
            "How is the next token chosen?",
            "Why are tokens drawn at random?",
            "What does the sampler do?",
            "sampling",
            "sampling parameters",
            "Which sampling parameters are there?",
            "Why do I get a different answer each time?",
            "How do I make sampling repeatable?",
            "What is a sampling seed?",
            "What does the seed do?",
            "How do logits become a token?",
            "What happens after the logits are computed?",
        ],
        names_zh=["采样", "采样器", "token 采样"],
        text_zh=(
            "采样是从模型给出的概率中选出下一个 token。先把分数变成概率，可以去掉"
            "不太可能的 token，再从剩下的里面随机抽取一个。设定种子可以复现结果。"
        ),
        questions_zh=[
            "采样是怎么工作的？",
            "下一个 token 是怎样选出来的？",
            "为什么每次的回答都不一样？",
            "采样器有什么作用？",
            "怎样让采样结果可以复现？",
            "随机种子有什么用？",
            "有哪些采样参数？",
            "采样",
        ],
        plural_names=["sampling parameters"],
    ),
    Topic(
        id="temperature",
        names=[
            "temperature",
            "the temperature",
            "the temperature parameter",
            "sampling temperature",
        ],
        text=(
            "Temperature divides the scores before they become probabilities. A low temperature "
            "makes the most likely tokens even likelier and the answer steadier; a high one makes "
            "it more varied. The value 0 always takes the best token."
        ),
        questions=[
            "How does temperature work?",
            "What does temperature do?",
            "Why would I change the temperature?",
            "Which temperature should I use?",
            "What happens when the temperature is high?",
            "What happens when the temperature is low?",
            "What does a high temperature mean?",
            "What does temperature 0.7 mean?",
            "temperature",
            "How does temperature change the probabilities?",
            "How do I make the answers more varied?",
            "When should I lower the temperature?",
            "High or low temperature?",
        ],
        names_zh=["温度", "温度参数", "采样温度"],
        text_zh=(
            "温度在分数变成概率之前对它做除法。温度低时，最可能的 token 更占优势，"
            "回答更稳定；温度高时，回答更多样。温度为 0 时总是选最好的 token。"
        ),
        questions_zh=[
            "温度参数是怎么起作用的？",
            "温度有什么用？",
            "温度应该设多少？",
            "温度高会怎么样？",
            "温度低会怎么样？",
            "怎样让回答更多样？",
            "温度怎样改变概率？",
            "温度",
        ],
    ),
    Topic(
        id="top_p",
        names=["top-p", "top-k", "min-p", "nucleus sampling", "top_p"],
        text=(
            "Top-p keeps the most likely tokens until their probabilities add up to p. Top-k "
            "keeps the k most likely ones, and min-p those that come close enough to the best. "
            "All others are never drawn."
        ),
        questions=[
            "How does top-p work?",
            "How does top-k work?",
            "How does min-p work?",
            "What does top_p do?",
            "What does top_k do?",
            "What does min_p do?",
            "What is the difference between top-p and top-k?",
            "Why use nucleus sampling?",
            "top p",
            "top k",
            "min p",
            "nucleus sampling",
            "How do I cut off unlikely tokens?",
            "What happens when top_p is 0.9?",
            "Top-p or top-k?",
        ],
        names_zh=["top-p", "top-k", "min-p", "核采样"],
        text_zh=(
            "Top-p 只保留概率之和达到 p 的那些最可能的 token。Top-k 只保留最可能的 k 个，"
            "min-p 只保留与最高概率足够接近的。其余的都不会被抽到。"
        ),
        questions_zh=[
            "top-p 是怎么工作的？",
            "top-k 是怎么工作的？",
            "min-p 有什么用？",
            "top-p 和 top-k 有什么区别？",
            "top_p 参数有什么用？",
            "核采样是什么意思？",
            "怎样去掉不太可能的 token？",
            "top_p 设为 0.9 是什么意思？",
        ],
    ),
    Topic(
        id="greedy",
        names=["greedy decoding", "greedy sampling", "greedy search", "argmax decoding"],
        text=(
            "Greedy decoding always takes the most likely next token; nothing is left to chance. "
            "It is chosen by setting the temperature to 0. It suits tasks with one right answer, "
            "such as arithmetic, code or extraction."
        ),
        questions=[
            "How does greedy decoding work?",
            "Why use greedy decoding?",
            "When should I use greedy decoding?",
            "How do I turn on greedy decoding?",
            "How do I turn off randomness?",
            "How do I always get the most likely token?",
            "What happens when the temperature is 0?",
            "What does temperature 0 mean?",
            "temperature 0",
            "greedy decoding",
            "greedy",
            "What is greedy decoding good for?",
            "What is the difference between greedy decoding and sampling?",
            "Greedy or sampling?",
        ],
        names_zh=["贪心解码", "贪婪解码", "贪心采样"],
        text_zh=(
            "贪心解码总是选择概率最高的下一个 token，没有随机性。把温度设为 0 即可启用。"
            "它适合只有一个正确答案的任务，例如算术、代码和信息抽取。"
        ),
        questions_zh=[
            "贪心解码是怎么工作的？",
            "什么时候用贪心解码？",
            "怎样启用贪心解码？",
            "温度设为 0 是什么意思？",
            "怎样去掉随机性？",
            "贪心解码和采样有什么区别？",
            "贪心解码适合什么任务？",
            "贪心解码",
        ],
    ),
    Topic(
        id="penalties",
        names=["the repetition penalty", "the frequency penalty", "the presence penalty"],
        text=(
            "Penalties lower the scores of tokens that were already used, so that the model "
            "repeats itself less. The frequency penalty grows with each use, the presence penalty "
            "counts once, and the repetition penalty scales the score."
        ),
        questions=[
            "How do penalties work?",
            "What do penalties do?",
            "Why use a repetition penalty?",
            "When should I set a penalty?",
            "What problem do penalties solve?",
            "What is the difference between frequency and presence penalty?",
            "What does frequency_penalty do?",
            "What does presence_penalty do?",
            "What does repetition_penalty do?",
            "How do I stop the model from repeating itself?",
            "The answer repeats itself, what can I do?",
            "penalties",
            "repetition penalty",
            "frequency penalty",
            "presence penalty",
        ],
        names_zh=["重复惩罚", "频率惩罚", "存在惩罚", "惩罚参数"],
        text_zh=(
            "惩罚参数会降低已经出现过的 token 的分数，让模型少重复。频率惩罚随出现次数增加，"
            "存在惩罚只算一次，重复惩罚则按比例缩小分数。"
        ),
        questions_zh=[
            "惩罚参数是怎么工作的？",
            "重复惩罚有什么用？",
            "频率惩罚和存在惩罚有什么区别？",
            "怎样让模型不重复？",
            "回答一直重复怎么办？",
            "什么时候需要设置惩罚？",
            "frequency_penalty 有什么用？",
            "重复惩罚",
        ],
        plural_names=["penalties", "sampling penalties"],
    ),
    Topic(
        id="logprobs",
        names=["a logprob", "a log-probability", "a log probability", "logprobs"],
        text=(
            "Logprobs are the logarithms of the probabilities that the model gave to tokens. A "
            "value near 0 means the model was sure, a very negative one that it was not. They "
            "help to score answers and to compare choices."
        ),
        questions=[
            "How do logprobs work?",
            "Why would I ask for logprobs?",
            "What are logprobs good for?",
            "How do I get logprobs?",
            "How do I read logprobs?",
            "What does a logprob near 0 mean?",
            "What does a very negative logprob mean?",
            "What is return_logprob?",
            "What is top_logprobs?",
            "logprobs",
            "log probabilities",
            "How sure was the model of a token?",
            "How can I score an answer?",
            "Can I see the probability of each token?",
        ],
        names_zh=["对数概率", "logprobs", "logprob"],
        text_zh=(
            "对数概率是模型给 token 的概率的对数。接近 0 表示模型很有把握，"
            "负得很多表示没有把握。它可以用来给回答打分，或者比较不同的选项。"
        ),
        questions_zh=[
            "对数概率有什么用？",
            "怎样得到 logprobs？",
            "怎样看懂对数概率？",
            "对数概率接近 0 是什么意思？",
            "怎样知道模型有多大把握？",
            "怎样给回答打分？",
            "return_logprob 有什么用？",
            "对数概率",
        ],
        plural_names=["logprobs", "log-probabilities", "token log probabilities"],
    ),
]
"""The topics of this module."""

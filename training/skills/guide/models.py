"""What is inside a language model, as far as an engine has to know."""

from __future__ import annotations

from training.skills.guide.topic import Topic

TOPICS: list[Topic] = [
    Topic(
        id="transformer",
        names=[
            "a transformer",
            "the transformer",
            "the transformer architecture",
            "a transformer model",
        ],
        plural_names=["transformers"],
        text=(
            "A transformer is the neural network behind most language models. It is a stack of "
            "layers: in each, attention mixes information between tokens and a feed-forward "
            "network processes every token. At the end come scores for the next token."
        ),
        questions=[
            "How does a transformer work?",
            "What are the parts of a transformer?",
            "Which network do language models use?",
            "What is a transformer layer?",
            "What does a feed-forward network do in a transformer?",
            "What happens inside a transformer?",
            "Why are transformers used for language?",
            "What is the structure of a language model?",
            "What is the difference between attention and a transformer?",
            "Where does attention stand in a transformer?",
            "What comes out of the last layer of a transformer?",
            "transformer architecture",
        ],
        names_zh=["Transformer", "Transformer 架构", "Transformer 模型"],
        text_zh=(
            "Transformer 是大多数语言模型使用的神经网络，由许多层组成：每层先用注意力在词元之间交"
            "换信息，再用前馈网络处理每个词元，最后给出下一个词元的分数。"
        ),
        questions_zh=[
            "Transformer 是怎么工作的？",
            "Transformer 由哪些部分组成？",
            "语言模型用什么网络结构？",
            "Transformer 的一层做什么？",
            "前馈网络有什么作用？",
            "Transformer 有什么用？",
            "介绍一下 Transformer 的结构。",
        ],
    ),
    Topic(
        id="attention",
        names=["attention", "the attention mechanism", "self-attention", "an attention layer"],
        text=(
            "Attention lets each token gather information from the tokens before it. The query of "
            "the token is compared with the keys of the others, the scores become weights by "
            "softmax, and the values are added up with these weights."
        ),
        questions=[
            "How does attention work?",
            "How does self-attention work?",
            "What does attention compute?",
            "Why do language models need attention?",
            "What are queries, keys and values?",
            "What is a query in attention?",
            "Why is there a softmax in attention?",
            "How do tokens exchange information?",
            "What is the attention mechanism for?",
            "How does a token look at earlier tokens?",
            "What do queries and keys do?",
            "self attention",
            "query key value",
        ],
        names_zh=["注意力", "注意力机制", "自注意力", "attention"],
        text_zh=(
            "注意力让每个词元从前面的词元获取信息。它的查询与其他词元的键比较，得到的分数经过 "
            "softmax 变成权重，再用这些权重对值求和。"
        ),
        questions_zh=[
            "注意力机制是怎么工作的？",
            "注意力机制有什么作用？",
            "自注意力计算什么？",
            "什么是查询、键和值？",
            "词元之间怎样交换信息？",
            "注意力为什么要用 softmax？",
            "语言模型为什么需要注意力？",
        ],
    ),
    Topic(
        id="flash_attention",
        names=[
            "FlashAttention",
            "flash attention",
            "the FlashAttention algorithm",
            "a flash attention kernel",
        ],
        text=(
            "FlashAttention computes exact attention in blocks that fit into the fast memory of "
            "the GPU. It never writes the full matrix of scores to the slow main memory, so it "
            "needs less memory and is much faster on long texts."
        ),
        questions=[
            "How does FlashAttention work?",
            "Why is FlashAttention fast?",
            "What problem does FlashAttention solve?",
            "Is FlashAttention exact?",
            "Is FlashAttention an approximation?",
            "Why does flash attention work in blocks?",
            "How does flash attention save memory?",
            "What is the difference between attention and FlashAttention?",
            "What is the difference between FlashAttention and paged attention?",
            "Why is the score matrix never written to memory?",
            "When does flash attention help most?",
            "flash attention",
            "flashattention",
        ],
        names_zh=["FlashAttention", "Flash 注意力"],
        text_zh=(
            "FlashAttention 把注意力分成小块，在 GPU 的高速内存里精确计算。它不把完整的分数矩阵写"
            "到较慢的显存，所以省内存，处理长文本也快得多。"
        ),
        questions_zh=[
            "FlashAttention 是怎么工作的？",
            "FlashAttention 为什么快？",
            "FlashAttention 解决什么问题？",
            "FlashAttention 是近似计算吗？",
            "FlashAttention 怎样节省内存？",
            "FlashAttention 和普通注意力有什么区别？",
            "FlashAttention 有什么好处？",
        ],
    ),
    Topic(
        id="gqa",
        names=[
            "grouped-query attention",
            "GQA",
            "grouped query attention",
            "shared key-value heads",
        ],
        text=(
            "Grouped-query attention lets several query heads share one head of keys and values. "
            "This makes the KV cache smaller and decoding faster, with almost no loss of quality; "
            "models such as Llama 3 and Qwen3 use it."
        ),
        questions=[
            "What does GQA stand for?",
            "How does GQA work?",
            "Why do models use grouped-query attention?",
            "How does GQA make the KV cache smaller?",
            "What problem does grouped-query attention solve?",
            "What is the difference between GQA and multi-head attention?",
            "GQA or MHA",
            "Why are there fewer key-value heads than query heads?",
            "Which models use GQA?",
            "Does GQA lose quality?",
            "What does num_key_value_heads mean?",
            "gqa",
        ],
        names_zh=["分组查询注意力", "GQA", "分组注意力"],
        text_zh=(
            "分组查询注意力让几个查询头共用一组键和值。这样 KV 缓存更小，解码更快，质量几乎没有损"
            "失；Llama 3 和 Qwen3 等模型都使用它。"
        ),
        questions_zh=[
            "GQA 是什么意思？",
            "GQA 是怎么工作的？",
            "模型为什么用分组查询注意力？",
            "GQA 怎样减小 KV 缓存？",
            "GQA 和多头注意力有什么区别？",
            "哪些模型使用 GQA？",
            "GQA 会降低质量吗？",
        ],
    ),
    Topic(
        id="rope",
        names=[
            "rotary position embedding",
            "RoPE",
            "a rotary embedding",
            "rotary embeddings in a model",
        ],
        plural_names=["rotary embeddings"],
        text=(
            "Rotary position embedding tells attention where each token stands. It rotates queries "
            "and keys by angles that grow with the position, so that their product depends on the "
            "distance between two tokens. It has no learned parameters."
        ),
        questions=[
            "What does RoPE stand for?",
            "How does RoPE work?",
            "Why do models use RoPE?",
            "How does a model know the position of a token?",
            "How does a model know the order of the tokens?",
            "Why are queries and keys rotated?",
            "What problem does rotary position embedding solve?",
            "What does rotating queries and keys bring?",
            "Does RoPE have learned parameters?",
            "Which position encoding do Llama and Qwen use?",
            "How are positions encoded in a language model?",
            "rope",
        ],
        names_zh=["旋转位置编码", "RoPE", "旋转位置嵌入"],
        text_zh=(
            "旋转位置编码告诉注意力每个词元在什么位置。它按位置把查询和键旋转一个角度，使它们的乘"
            "积取决于两个词元的距离，不需要学习参数。"
        ),
        questions_zh=[
            "RoPE 是什么意思？",
            "RoPE 是怎么工作的？",
            "模型为什么用旋转位置编码？",
            "模型怎样知道词元的位置？",
            "为什么要旋转查询和键？",
            "RoPE 解决什么问题？",
            "旋转位置编码有参数要学习吗？",
        ],
    ),
    Topic(
        id="sliding_window",
        names=[
            "sliding window attention",
            "a sliding window",
            "the attention window",
            "windowed attention",
        ],
        text=(
            "Sliding window attention lets a token see only a fixed number of the latest tokens. "
            "Keys and values that have left the window are not needed any more, so the engine "
            "frees their pages and long texts take less memory."
        ),
        questions=[
            "How does sliding window attention work?",
            "Why do some models use a sliding window?",
            "What problem does sliding window attention solve?",
            "What happens to tokens that have left the window?",
            "How does a sliding window save memory?",
            "How far back can a token see with a sliding window?",
            "What is the window size in attention?",
            "Is KV freed behind the window?",
            "What is the difference between full attention and sliding window attention?",
            "Why do long texts take less memory with a window?",
            "What are window layers?",
            "sliding window",
        ],
        names_zh=["滑动窗口注意力", "滑动窗口", "窗口注意力"],
        text_zh=(
            "滑动窗口注意力让每个词元只看最近的固定数量的词元。离开窗口的键和值不再需要，引擎就释"
            "放它们的页，长文本占用的内存更少。"
        ),
        questions_zh=[
            "滑动窗口注意力是怎么工作的？",
            "滑动窗口有什么好处？",
            "模型为什么用滑动窗口？",
            "离开窗口的词元会怎么样？",
            "滑动窗口怎样节省内存？",
            "滑动窗口和全注意力有什么区别？",
            "滑动窗口解决什么问题？",
        ],
    ),
]
"""The subjects of this part."""

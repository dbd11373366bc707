"""Where keys and values are kept, shared and given up."""

from __future__ import annotations

from training.skills.guide.topic import Topic

TOPICS: list[Topic] = [
    Topic(
        id="kv_cache",
        names=["the KV cache", "a KV cache", "KV caching", "the key-value cache"],
        text=(
            "The KV cache stores the keys and values that attention has computed for earlier "
            "tokens. Each new token reads them instead of computing them again; this saves much "
            "time, but the memory grows with every token of a request."
        ),
        questions=[
            "Why is there a KV cache?",
            "What is stored in the KV cache?",
            "How does the KV cache work?",
            "Why does generation need a KV cache?",
            "What problem does the KV cache solve?",
            "What happens without a KV cache?",
            "How does the KV cache make generation faster?",
            "What do K and V mean in KV cache?",
            "Why does the KV cache grow?",
            "Why does a long context need so much memory?",
            "What is the KV cache for?",
            "kv cache",
        ],
        names_zh=["KV 缓存", "KV cache", "键值缓存"],
        text_zh=(
            "KV 缓存保存注意力为前面的词元算出的键和值。新的词元直接读取它们，不用重新计算，这样"
            "省下很多时间，但占用的内存会随词元数增长。"
        ),
        questions_zh=[
            "为什么需要 KV 缓存？",
            "KV 缓存里保存什么？",
            "KV 缓存是怎么工作的？",
            "没有 KV 缓存会怎么样？",
            "KV 缓存有什么作用？",
            "KV 缓存为什么会变大？",
            "KV 缓存解决什么问题？",
            "KV 缓存为什么能加速生成？",
        ],
    ),
    Topic(
        id="paged_attention",
        names=[
            "paged attention",
            "PagedAttention",
            "a paged KV cache",
            "a KV page",
            "the page table",
        ],
        plural_names=["KV pages"],
        text=(
            "Paged attention keeps the KV cache in small pages of fixed size instead of one long "
            "block per request. A page table lists the pages of each request, so little memory is "
            "wasted and requests can share pages."
        ),
        questions=[
            "How does paged attention work?",
            "Why is the KV cache split into pages?",
            "What problem does paged attention solve?",
            "What is a page table in a serving engine?",
            "How does paging avoid wasted memory?",
            "What does --page-size do?",
            "Why not one block of memory per request?",
            "How does an engine avoid fragmentation of KV memory?",
            "What are the advantages of paged attention?",
            "How many tokens fit into a page?",
            "pagedattention",
            "paged kv cache",
        ],
        names_zh=["分页注意力", "PagedAttention", "分页的 KV 缓存", "页表"],
        text_zh=(
            "分页注意力把 KV 缓存分成固定大小的小页，而不是为每个请求留一整块内存。页表记录每个请"
            "求用了哪些页，这样浪费很少，页也可以共享。"
        ),
        questions_zh=[
            "分页注意力是怎么工作的？",
            "为什么要把 KV 缓存分成页？",
            "分页注意力解决什么问题？",
            "页表有什么作用？",
            "分页注意力有什么优点？",
            "PagedAttention 有什么好处？",
            "为什么分页能减少浪费？",
        ],
    ),
    Topic(
        id="radix_cache",
        names=[
            "the radix cache",
            "the radix tree",
            "RadixAttention",
            "the prefix cache",
            "prefix caching",
        ],
        text=(
            "The radix cache keeps the KV pages of earlier requests in a radix tree that is "
            "searched by token ids. A new request follows the tree along its prompt, and the "
            "longest prefix found there is not computed again."
        ),
        questions=[
            "How does the radix cache work?",
            "Why does sglite use a radix tree?",
            "What problem does the radix cache solve?",
            "How does RadixAttention work?",
            "How does the prefix cache work?",
            "How does the engine find a cached prefix?",
            "How does sglite remember earlier prompts?",
            "What is stored in the radix tree?",
            "What is the radix tree for?",
            "What does --disable-radix-cache turn off?",
            "What is the difference between the radix cache and the KV cache?",
            "What happens when a prompt matches the tree?",
            "radix cache",
            "radix tree",
            "radixattention",
            "prefix cache",
        ],
        names_zh=["前缀缓存", "基数树缓存", "基数树", "RadixAttention"],
        text_zh=(
            "前缀缓存用基数树保存以前请求的 KV 页，按词元编号查找。新请求沿着树匹配自己的提示词，"
            "找到的最长前缀不用再计算一遍。"
        ),
        questions_zh=[
            "前缀缓存是怎么工作的？",
            "为什么要用基数树？",
            "RadixAttention 的原理是什么？",
            "前缀缓存解决什么问题？",
            "基数树里保存什么？",
            "引擎怎样找到缓存的前缀？",
            "前缀缓存有什么好处？",
            "基数树有什么用？",
            "前缀缓存和 KV 缓存有什么区别？",
        ],
    ),
    Topic(
        id="prefix_sharing",
        names=[
            "prefix sharing",
            "a shared prefix",
            "a shared system prompt",
            "sharing prompts between requests",
        ],
        plural_names=["shared prefixes"],
        text=(
            "Prefix sharing computes the common beginning of several prompts only once. When many "
            "requests use the same system prompt or the same few-shot examples, each computes only "
            "the part that differs, which saves time and memory."
        ),
        questions=[
            "Why is a shared system prompt cheap?",
            "What happens when many requests share a prefix?",
            "How can requests share a system prompt?",
            "Is a shared prompt computed more than once?",
            "How does prefix sharing save time?",
            "Do few-shot examples have to be computed every time?",
            "What if all my prompts begin with the same text?",
            "How should I write prompts so that they share a prefix?",
            "Two requests have the same system prompt. What happens?",
            "What are the benefits of sharing prefixes?",
            "Why should the common part of a prompt come first?",
            "same system prompt for all requests",
        ],
        names_zh=["前缀共享", "共享前缀", "共享系统提示词"],
        text_zh=(
            "前缀共享让多个提示词的相同开头只计算一次。许多请求使用相同的系统提示词或示例时，每个"
            "请求只需计算不同的部分，节省时间和内存。"
        ),
        questions_zh=[
            "前缀共享有什么好处？",
            "多个请求的系统提示词相同会怎么样？",
            "共享的系统提示词要重复计算吗？",
            "前缀共享是怎么节省时间的？",
            "怎样写提示词才能共享前缀？",
            "为什么相同的内容要放在提示词开头？",
            "少样本示例每次都要计算吗？",
        ],
    ),
    Topic(
        id="eviction",
        names=["cache eviction", "eviction", "LRU eviction", "the eviction policy"],
        text=(
            "Eviction frees pages of the prefix cache when memory is needed. It removes leaves of "
            "the radix tree that no running request uses, the least recently used first; a prefix "
            "that was removed must be computed again."
        ),
        questions=[
            "What happens when the prefix cache is full?",
            "What is evicted first?",
            "Which prefixes are evicted?",
            "How does eviction work?",
            "How does the engine free cached pages?",
            "Why does the cache evict prefixes?",
            "What does LRU mean in the prefix cache?",
            "Can a prefix be evicted while a request uses it?",
            "When is a cached prefix removed?",
            "How long does a prefix stay in the cache?",
            "Why was my cached prefix removed?",
            "lru eviction",
        ],
        names_zh=["缓存淘汰", "淘汰", "LRU 淘汰", "淘汰策略"],
        text_zh=(
            "缓存淘汰在需要内存时释放前缀缓存的页。它删除没有请求在用的树叶，最久没有用过的先删；"
            "被删掉的前缀下次要重新计算。"
        ),
        questions_zh=[
            "前缀缓存满了怎么办？",
            "哪些前缀先被淘汰？",
            "缓存淘汰是怎么工作的？",
            "LRU 是什么意思？",
            "缓存为什么要淘汰前缀？",
            "正在使用的前缀会被淘汰吗？",
            "缓存的前缀能保留多久？",
        ],
    ),
    Topic(
        id="memory_pool",
        names=["the KV memory pool", "the KV pool", "the memory pool", "--mem-fraction-static"],
        text=(
            "The memory pool holds all keys and values; it is reserved at start and divided into "
            "pages. In sglite its size is a share of the memory that is free after loading the "
            "weights; --mem-fraction-static sets this share."
        ),
        questions=[
            "How is the KV memory sized?",
            "How much memory does sglite take for the KV cache?",
            "What does --mem-fraction-static do?",
            "How do I set the size of the KV pool?",
            "How large is the KV pool?",
            "How can I make the engine use less memory?",
            "Why does the engine reserve memory at start?",
            "How many tokens fit into memory?",
            "What limits the size of the KV pool?",
            "How do I give more memory to the KV cache?",
            "When is the KV memory allocated?",
            "mem fraction static",
            "kv pool size",
        ],
        names_zh=["KV 内存池", "内存池", "KV 池", "--mem-fraction-static"],
        text_zh=(
            "内存池是启动时为键和值预留的内存，分成许多页。在 sglite 中，它占加载权重后剩余内存的"
            "一部分，用 --mem-fraction-static 设置。"
        ),
        questions_zh=[
            "KV 内存池有多大？",
            "怎样设置 KV 内存池的大小？",
            "--mem-fraction-static 有什么用？",
            "引擎为什么启动时就预留内存？",
            "怎样减少引擎占用的内存？",
            "KV 缓存的内存是怎么分配的？",
            "内存里能放多少词元？",
        ],
    ),
]
"""The subjects of this part."""

"""What the guide knows of number formats, kernels and how speed is measured."""

from __future__ import annotations

from training.skills.guide.topic import Topic

TOPICS: list[Topic] = [
    Topic(
        id="quantization",
        names=["quantization", "weight quantization", "a quantized model", "4-bit quantization"],
        text=(
            "Quantization stores the weights with fewer bits, for example 8 or 4 instead of 16. "
            "The model needs less memory and decodes faster, because fewer bytes are read per "
            "token. The price is a small loss of accuracy."
        ),
        questions=[
            "How does quantization work?",
            "Why quantize a model?",
            "When should I use quantization?",
            "What problem does quantization solve?",
            "Does quantization make a model worse?",
            "Why is a quantized model faster?",
            "How much memory does quantization save?",
            "How do I run a model that is too large for my memory?",
            "quantization",
            "quantized weights",
            "awq",
            "gptq",
            "What is the difference between AWQ and GPTQ?",
            "What does a 4-bit model mean?",
            "What does int4 mean for weights?",
        ],
        names_zh=["量化", "权重量化", "模型量化", "4 位量化"],
        text_zh=(
            "量化用更少的位数存储权重，例如用 8 位或 4 位代替 16 位。模型占用的内存更少，"
            "每个 token 读取的字节也更少，所以解码更快，代价是精度略有下降。"
        ),
        questions_zh=[
            "量化是怎么工作的？",
            "为什么要量化模型？",
            "什么时候应该用量化？",
            "量化会让模型变差吗？",
            "为什么量化后的模型更快？",
            "量化能节省多少内存？",
            "AWQ 和 GPTQ 是什么？",
            "量化",
        ],
        plural_names=["quantized models", "quantized weights"],
    ),
    Topic(
        id="kv_quantization",
        names=[
            "KV quantization",
            "KV cache quantization",
            "a quantized KV cache",
            "an FP8 KV cache",
        ],
        text=(
            "KV quantization stores the keys and values of the cache in 8 bits instead of 16. "
            "Twice as many tokens fit into the same memory, so that more requests or longer "
            "contexts run at once, with slightly rounded values."
        ),
        questions=[
            "How does KV quantization work?",
            "Why quantize the KV cache?",
            "When should I quantize the KV cache?",
            "What problem does KV quantization solve?",
            "How can the KV cache be made smaller?",
            "Can the KV cache be stored in 8 bits?",
            "How do I use an FP8 KV cache?",
            "kv quantization",
            "kv cache quantization",
            "fp8 kv cache",
            "int8 kv cache",
            "What does --kv-cache-dtype do?",
            "What is the difference between weight quantization and KV quantization?",
            "Does a quantized KV cache hurt accuracy?",
        ],
        names_zh=["KV 量化", "KV 缓存量化", "FP8 KV 缓存"],
        text_zh=(
            "KV 量化用 8 位而不是 16 位存储缓存中的键和值。同样的内存可以放下两倍的 token，"
            "因此能同时处理更多请求或更长的上下文，数值略有舍入。"
        ),
        questions_zh=[
            "KV 量化是怎么工作的？",
            "为什么要量化 KV 缓存？",
            "KV 量化解决什么问题？",
            "什么时候适合量化 KV 缓存？",
            "怎样让 KV 缓存更小？",
            "KV 缓存可以用 8 位存储吗？",
            "--kv-cache-dtype 有什么用？",
            "KV 量化",
        ],
    ),
    Topic(
        id="lora",
        names=["LoRA", "a LoRA adapter", "low-rank adaptation", "an adapter"],
        text=(
            "LoRA adapts a model with two small matrices that are added to a large, frozen one. A "
            "server keeps the base model once and can apply a different adapter to each request "
            "of the same batch."
        ),
        questions=[
            "How does LoRA work?",
            "Why use LoRA?",
            "When should I use LoRA?",
            "What problem does LoRA solve?",
            "Why are LoRA adapters so small?",
            "How can one server offer many fine-tuned models?",
            "Can one batch use several adapters?",
            "lora",
            "lora adapters",
            "low-rank adaptation",
            "multi-lora",
            "How are adapters applied in a batch?",
            "What is the difference between LoRA and full fine-tuning?",
            "What does --lora-paths do?",
        ],
        names_zh=["LoRA", "LoRA 适配器", "低秩适配"],
        text_zh=(
            "LoRA 用两个小矩阵来适配模型，它们加在冻结的大矩阵上。"
            "服务器只保存一份基础模型，同一批次中的每个请求可以使用不同的适配器。"
        ),
        questions_zh=[
            "LoRA 是怎么工作的？",
            "为什么要用 LoRA？",
            "LoRA 解决什么问题？",
            "LoRA 适配器为什么很小？",
            "一个服务器怎样提供多个微调模型？",
            "同一个批次可以用多个适配器吗？",
            "LoRA 和全量微调有什么区别？",
            "低秩适配",
        ],
        plural_names=["LoRA adapters", "adapters"],
    ),
    Topic(
        id="roofline",
        names=[
            "the roofline",
            "the roofline model",
            "the memory bandwidth limit",
            "the bandwidth limit",
        ],
        text=(
            "The roofline is the best speed that the hardware allows, limited by arithmetic or by "
            "memory bandwidth. To decode a token all weights are read once, so one request gets at "
            "most bandwidth divided by model size tokens per second."
        ),
        questions=[
            "How does the roofline model work?",
            "How do I estimate the highest possible decode speed?",
            "Why does memory bandwidth matter?",
            "Why is memory bandwidth the limit?",
            "What limits the speed of a language model?",
            "How fast can my machine run a model at best?",
            "roofline",
            "memory bandwidth",
            "How many tokens per second are possible?",
            "What does memory-bound mean?",
            "What does compute-bound mean?",
            "Memory-bound or compute-bound?",
            "What is the roofline used for?",
            "How do I compute the speed limit from bandwidth and model size?",
        ],
        names_zh=["屋顶线模型", "屋顶线", "内存带宽上限", "roofline"],
        text_zh=(
            "屋顶线是硬件允许的最高速度，受算力或内存带宽限制。解码一个 token "
            "要读一遍全部权重，所以单个请求每秒的 token 数不超过带宽除以模型大小。"
        ),
        questions_zh=[
            "屋顶线模型是怎么工作的？",
            "为什么内存带宽很重要？",
            "什么限制了模型的速度？",
            "怎样估算最高的解码速度？",
            "我的机器最快能跑多快？",
            "每秒最多能生成多少 token？",
            "受带宽限制是什么意思？",
            "屋顶线",
        ],
    ),
    Topic(
        id="latency",
        names=["latency", "TTFT", "the time to first token", "TPOT", "inter-token latency"],
        text=(
            "Latency is how long a user waits. TTFT is the time to the first token, mostly "
            "waiting and prefill; ITL, also called TPOT, is the time between two tokens. Both "
            "should stay low for a pleasant chat."
        ),
        questions=[
            "How is latency measured?",
            "What does TTFT mean?",
            "What does TPOT mean?",
            "What does ITL mean?",
            "What is the difference between TTFT and ITL?",
            "What is ITL?",
            "Why is the first token slow?",
            "Why does the first token take longer than the others?",
            "How do I lower the latency?",
            "latency",
            "ttft",
            "itl",
            "tpot",
            "time to first token",
            "How long does a user wait for an answer?",
        ],
        names_zh=["延迟", "TTFT", "首 token 延迟", "TPOT"],
        text_zh=(
            "延迟是用户等待的时间。TTFT 是到第一个 token 的时间，主要是排队和预填充；"
            "ITL 也叫 TPOT，是相邻两个 token 之间的时间。两者都应尽量低。"
        ),
        questions_zh=[
            "延迟怎么衡量？",
            "TTFT 是什么意思？",
            "TPOT 是什么意思？",
            "ITL 是什么意思？",
            "TTFT 和 ITL 有什么区别？",
            "为什么第一个 token 比较慢？",
            "怎样降低延迟？",
            "延迟",
        ],
    ),
    Topic(
        id="throughput",
        names=["throughput", "the throughput", "token throughput"],
        text=(
            "Throughput is how many tokens per second the engine produces for all requests "
            "together. Larger batches raise it, because the weights are read once for many "
            "requests, but each single request may then wait a little longer."
        ),
        questions=[
            "How is throughput measured?",
            "What does throughput mean?",
            "What does throughput measure?",
            "How do I raise the throughput?",
            "How can I increase throughput?",
            "Why do larger batches raise the throughput?",
            "Why does batching help throughput?",
            "throughput",
            "output tokens per second",
            "What is the difference between throughput and latency?",
            "Throughput or latency?",
            "Why is throughput higher with many requests?",
            "How many tokens per second does the engine make in total?",
        ],
        names_zh=["吞吐量", "吞吐", "token 吞吐量"],
        text_zh=(
            "吞吐量是引擎每秒为所有请求一共生成的 token 数。批次越大，吞吐量越高，"
            "因为权重读一次可供多个请求使用，但单个请求可能稍慢。"
        ),
        questions_zh=[
            "吞吐量怎么衡量？",
            "吞吐量是什么意思？",
            "怎样提高吞吐量？",
            "为什么批次大吞吐量就高？",
            "吞吐量和延迟有什么区别？",
            "为什么请求多时吞吐量更高？",
            "批处理为什么能提高吞吐量？",
            "吞吐量",
        ],
    ),
    Topic(
        id="bf16",
        names=["BF16", "bfloat16", "the bfloat16 format", "the bf16 data type"],
        text=(
            "BF16 is a 16-bit number format with the range of 32-bit floats but fewer digits. It "
            "halves the memory of FP32 and is the usual type of model weights. On CPUs without "
            "BF16, sglite uses FP32."
        ),
        questions=[
            "How does BF16 work?",
            "Why is BF16 used for models?",
            "When should I use BF16?",
            "Why not use FP32?",
            "What is the difference between BF16 and FP16?",
            "What is the difference between BF16 and FP32?",
            "BF16 or FP16?",
            "bf16",
            "bfloat16",
            "Which data type do model weights have?",
            "Which dtype does sglite use?",
            "What does --dtype do?",
            "What happens on a CPU without BF16?",
            "How many bits does bfloat16 have?",
        ],
        names_zh=["BF16", "bfloat16", "BF16 格式"],
        text_zh=(
            "BF16 是一种 16 位数字格式，范围与 32 位浮点数相同，但有效位数较少。"
            "它的内存只有 FP32 的一半，是模型权重常用的类型。"
        ),
        questions_zh=[
            "BF16 有什么优点？",
            "为什么模型使用 BF16？",
            "BF16 和 FP16 有什么区别？",
            "BF16 和 FP32 有什么区别？",
            "bfloat16 有多少位？",
            "模型权重一般用什么数据类型？",
            "--dtype 参数有什么用？",
            "什么时候应该用 BF16？",
        ],
    ),
    Topic(
        id="triton_kernels",
        names=["a Triton kernel", "Triton", "a GPU kernel", "a kernel"],
        text=(
            "Triton kernels are GPU functions written in a language that looks like Python and "
            "compiled for the GPU. sglite uses them for attention and other hot operations, "
            "beside a plain torch version that serves as the reference."
        ),
        questions=[
            "How do Triton kernels work?",
            "Why does sglite use Triton?",
            "What is Triton used for?",
            "When are Triton kernels used?",
            "What language are the GPU kernels written in?",
            "Which kernels does sglite have on the GPU?",
            "triton kernels",
            "triton",
            "gpu kernels",
            "What is the difference between Triton and CUDA?",
            "Why write a kernel in Triton?",
            "Why is there a plain torch version of each kernel?",
            "What is a kernel on a GPU?",
        ],
        names_zh=["Triton 内核", "Triton", "Triton 算子", "GPU 内核"],
        text_zh=(
            "Triton 内核是用类似 Python 的语言编写、再编译到 GPU 上的函数。"
            "sglite 用它实现注意力等运算，并保留普通的 torch 版本作为参考。"
        ),
        questions_zh=[
            "Triton 内核是怎么工作的？",
            "为什么要用 Triton？",
            "Triton 有什么用？",
            "GPU 内核用什么语言编写？",
            "Triton 和 CUDA 有什么区别？",
            "为什么要保留 torch 版本作为参考？",
            "sglite 什么时候使用 Triton？",
            "Triton 内核",
        ],
        plural_names=["Triton kernels", "GPU kernels", "kernels"],
    ),
]
"""The topics of this module."""

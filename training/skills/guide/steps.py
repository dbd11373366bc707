"""How the engine computes: phases of a request, batches and the loop."""

from __future__ import annotations

from training.skills.guide.topic import Topic

TOPICS: list[Topic] = [
    Topic(
        id="prefill",
        names=["prefill", "the prefill phase", "the prefill pass", "prompt processing"],
        text=(
            "Prefill is the first phase of a request: the model computes all tokens of the prompt "
            "together and writes their keys and values to the KV cache. It ends with the first "
            "token of the answer and is limited by compute."
        ),
        questions=[
            "What happens during prefill?",
            "How does prefill work?",
            "What is the difference between prefill and decode?",
            "Why does a long prompt take time before the first token?",
            "How is the prompt processed?",
            "What does the engine do first with a prompt?",
            "What is computed in the prefill phase?",
            "Why is prefill limited by compute?",
            "Why is prefill needed?",
            "What happens before the first token comes?",
            "Prefill or decode, which comes first?",
            "prefill phase",
        ],
        names_zh=["预填充", "prefill", "预填充阶段"],
        text_zh=(
            "预填充是请求的第一个阶段：模型一起计算提示词的所有词元，把它们的键和值写入 KV 缓存。"
            "它以回答的第一个词元结束，受算力限制。"
        ),
        questions_zh=[
            "预填充是怎么工作的？",
            "预填充阶段做什么？",
            "预填充和解码有什么区别？",
            "提示词是怎样处理的？",
            "为什么长提示词的第一个词元来得慢？",
            "为什么需要预填充？",
            "预填充为什么受算力限制？",
        ],
    ),
    Topic(
        id="decode",
        names=["decode", "decoding", "the decode phase", "a decode step"],
        text=(
            "Decode is the phase that generates the answer, one token per step for each request. A "
            "step reads all weights and the KV cache but computes little, so memory bandwidth "
            "limits it, and large batches make it efficient."
        ),
        questions=[
            "What happens during decode?",
            "How does the decode phase work?",
            "Why is decode memory bound?",
            "Why is decoding limited by memory bandwidth?",
            "Why does the model generate one token at a time?",
            "What happens after prefill?",
            "Why is decoding slow for a single request?",
            "How many tokens does a decode step produce?",
            "Why do large batches help decoding?",
            "What is read in every decode step?",
            "Why does the answer come token by token?",
            "decode phase",
        ],
        names_zh=["解码", "decode", "解码阶段"],
        text_zh=(
            "解码是生成回答的阶段，每个请求每步生成一个词元。每一步要读取全部权重和 KV 缓存，计算"
            "却很少，所以受内存带宽限制，大批次更高效。"
        ),
        questions_zh=[
            "解码是怎么工作的？",
            "解码阶段做什么？",
            "解码为什么受内存带宽限制？",
            "为什么一次只生成一个词元？",
            "预填充之后做什么？",
            "为什么大批次对解码有好处？",
            "解码每一步读取什么？",
        ],
    ),
    Topic(
        id="continuous_batching",
        names=["continuous batching", "in-flight batching", "dynamic batching of requests"],
        text=(
            "Continuous batching lets requests join and leave the running batch at every step. A "
            "new request does not wait until the others have finished, and a finished one frees "
            "its place at once, so the device stays busy."
        ),
        questions=[
            "How does continuous batching work?",
            "Why is continuous batching better than static batching?",
            "What is the difference between static and continuous batching?",
            "What problem does continuous batching solve?",
            "Can a request join a running batch?",
            "What happens when a request in the batch finishes early?",
            "Does a new request wait for the whole batch?",
            "How are many requests answered at once?",
            "What are the advantages of continuous batching?",
            "What does --static-batching turn off?",
            "continuous batching",
        ],
        names_zh=["连续批处理", "continuous batching", "持续批处理"],
        text_zh=(
            "连续批处理让请求在每一步都能加入或离开正在运行的批次。新请求不用等其他请求完成，完成"
            "的请求马上让出位置，设备一直保持忙碌。"
        ),
        questions_zh=[
            "连续批处理是怎么工作的？",
            "连续批处理有什么好处？",
            "连续批处理和静态批处理有什么区别？",
            "连续批处理解决什么问题？",
            "新请求能加入正在运行的批次吗？",
            "批次里的请求提前完成会怎么样？",
            "引擎怎样同时回答许多请求？",
        ],
    ),
    Topic(
        id="chunked_prefill",
        names=[
            "chunked prefill",
            "a prefill chunk",
            "splitting prompts into chunks",
            "--chunked-prefill-size",
        ],
        plural_names=["prefill chunks"],
        text=(
            "Chunked prefill splits a long prompt into pieces and computes one piece per step, "
            "together with the decodes of other requests. So a long prompt does not block the "
            "others, and their tokens keep coming at a steady pace."
        ),
        questions=[
            "How does chunked prefill work?",
            "Why are long prompts split into chunks?",
            "What problem does chunked prefill solve?",
            "What happens when a very long prompt arrives?",
            "Does a long prompt block other requests?",
            "How does sglite handle long prompts?",
            "What does --chunked-prefill-size do?",
            "What is a chunk of a prompt?",
            "What is the difference between prefill and chunked prefill?",
            "How do I keep long prompts from stalling streams?",
            "Can prefill and decode run in the same step?",
            "chunked prefill",
        ],
        names_zh=["分块预填充", "chunked prefill", "预填充分块"],
        text_zh=(
            "分块预填充把长提示词分成几块，每一步只计算一块，与其他请求的解码一起进行。这样长提示"
            "词不会堵住别人，大家的词元都能平稳输出。"
        ),
        questions_zh=[
            "分块预填充是怎么工作的？",
            "为什么要把长提示词分块？",
            "分块预填充解决什么问题？",
            "很长的提示词会堵住其他请求吗？",
            "sglite 怎样处理长提示词？",
            "分块预填充有什么好处？",
            "--chunked-prefill-size 有什么用？",
        ],
    ),
    Topic(
        id="step",
        names=[
            "a step of the engine",
            "an engine step",
            "the engine loop",
            "one iteration of the engine",
        ],
        plural_names=["engine steps"],
        text=(
            "A step is one turn of the engine loop. The scheduler plans which tokens to compute, "
            "the model runs a forward pass, the sampler picks the next tokens, and a commit adds "
            "them to the requests. Then the next step begins."
        ),
        questions=[
            "What happens in a step?",
            "What happens in one step of the engine?",
            "What does the engine do in each iteration?",
            "How does the main loop of the engine work?",
            "Which parts does a step have?",
            "What are the four calls of a step?",
            "What does commit do at the end of a step?",
            "What comes after the forward pass?",
            "How does sglite go from one token to the next?",
            "Describe one turn of the engine.",
            "plan launch sample commit",
            "engine loop",
        ],
        names_zh=["引擎的一步", "引擎循环", "一次迭代"],
        text_zh=(
            "一步是引擎循环的一轮：调度器计划要计算哪些词元，模型做一次前向计算，采样器选出下一个"
            "词元，最后提交结果，然后开始下一步。"
        ),
        questions_zh=[
            "引擎的一步做什么？",
            "引擎每次迭代做什么？",
            "引擎的主循环是怎么工作的？",
            "一步由哪些部分组成？",
            "前向计算之后做什么？",
            "提交结果是什么意思？",
            "引擎循环包括哪些步骤？",
        ],
    ),
    Topic(
        id="overlap_scheduling",
        names=[
            "overlap scheduling",
            "the overlap scheduler",
            "overlapping steps",
            "overlapped scheduling",
        ],
        text=(
            "Overlap scheduling lets the CPU plan the next step while the device still computes "
            "the current one. This hides the time for scheduling, so the GPU does not wait between "
            "steps. In sglite, --max-in-flight 2 turns it on."
        ),
        questions=[
            "How does overlap scheduling work?",
            "Why plan the next step before this one is done?",
            "What problem does overlap scheduling solve?",
            "How does the engine hide the cost of scheduling?",
            "What does --max-in-flight do?",
            "How do CPU and GPU work at the same time?",
            "Why would the GPU wait between steps?",
            "What is the benefit of two steps in flight?",
            "How do I turn on overlap?",
            "What does overlapping CPU work with GPU work bring?",
            "steps in flight",
            "overlap scheduler",
        ],
        names_zh=["重叠调度", "overlap scheduling", "调度重叠"],
        text_zh=(
            "重叠调度让 CPU 在设备还在计算这一步时就计划下一步。这样调度的时间被隐藏，GPU 不用等"
            "待。sglite 用 --max-in-flight 2 打开。"
        ),
        questions_zh=[
            "重叠调度是怎么工作的？",
            "重叠调度有什么好处？",
            "重叠调度解决什么问题？",
            "怎样隐藏调度的时间？",
            "CPU 和 GPU 怎样同时工作？",
            "--max-in-flight 有什么用？",
            "为什么要提前计划下一步？",
        ],
    ),
    Topic(
        id="cuda_graphs",
        names=["a CUDA graph", "CUDA graph capture", "CUDA graph replay"],
        plural_names=["CUDA graphs"],
        text=(
            "CUDA graphs record the kernels of a step once and start them all again with a single "
            "call. This saves the time that the CPU needs to launch each kernel, which matters "
            "most for decode steps with small batches."
        ),
        questions=[
            "How do CUDA graphs work?",
            "Why use CUDA graphs?",
            "What problem do CUDA graphs solve?",
            "Why do CUDA graphs speed up decoding?",
            "How can kernel launch overhead be reduced?",
            "What is recorded in a CUDA graph?",
            "When do CUDA graphs help most?",
            "What does graph capture mean on a GPU?",
            "Why is launching many small kernels slow?",
            "How is a decode step replayed on the GPU?",
            "cuda graph",
            "cuda graphs",
        ],
        names_zh=["CUDA 图", "CUDA graph", "CUDA 图捕获"],
        text_zh=(
            "CUDA 图把一步中的所有内核记录一次，以后只需一次调用就能全部启动。这样省去 CPU 逐个启"
            "动内核的时间，对小批次的解码最有用。"
        ),
        questions_zh=[
            "CUDA 图是怎么工作的？",
            "为什么要用 CUDA 图？",
            "CUDA 图解决什么问题？",
            "CUDA 图为什么能加快解码？",
            "怎样减少启动内核的开销？",
            "CUDA 图记录了什么？",
            "CUDA graph 有什么好处？",
        ],
    ),
]
"""The subjects of this part."""

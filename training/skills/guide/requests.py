"""How requests wait, run, stop and are answered."""

from __future__ import annotations

from training.skills.guide.topic import Topic

TOPICS: list[Topic] = [
    Topic(
        id="scheduler",
        names=[
            "the scheduler",
            "the scheduler of sglite",
            "scheduling in a serving engine",
            "request scheduling",
        ],
        text=(
            "The scheduler decides in every step which requests run and how many tokens of each "
            "are computed. It admits waiting requests when there is room and memory for them; in "
            "sglite it works with integers only, never with tensors."
        ),
        questions=[
            "What does the scheduler do?",
            "How does the scheduler work?",
            "Why does an engine need a scheduler?",
            "Who decides which requests run?",
            "How does the engine choose the requests of a step?",
            "When is a waiting request admitted?",
            "What is the job of the scheduler?",
            "What does the scheduler decide?",
            "How does sglite schedule requests?",
            "Does the scheduler touch tensors?",
            "Which part of the engine forms the batches?",
            "scheduler",
        ],
        names_zh=["调度器", "sglite 的调度器", "请求调度"],
        text_zh=(
            "调度器在每一步决定哪些请求运行、每个请求计算多少词元。有空位和内存时，它让等待的请求"
            "进入批次；在 sglite 中，它只处理整数，不接触张量。"
        ),
        questions_zh=[
            "调度器是做什么的？",
            "调度器是怎么工作的？",
            "为什么需要调度器？",
            "谁决定哪些请求运行？",
            "等待的请求什么时候进入批次？",
            "sglite 怎样调度请求？",
            "调度器决定什么？",
            "调度器有什么作用？",
        ],
    ),
    Topic(
        id="policy",
        names=[
            "a scheduling policy",
            "the scheduling policy",
            "the lpm policy",
            "longest prefix match",
            "fcfs",
        ],
        plural_names=["scheduling policies"],
        text=(
            "A scheduling policy sets the order in which waiting requests are admitted. fcfs takes "
            "them as they arrive; lpm, the default of sglite, takes those with the longest cached "
            "prefix first. An aging limit keeps it fair."
        ),
        questions=[
            "What does lpm mean?",
            "What does fcfs mean?",
            "What is the difference between fcfs and lpm?",
            "Which scheduling policies are there?",
            "In which order are waiting requests admitted?",
            "What does --schedule-policy do?",
            "Which policy should I use?",
            "What is the default scheduling policy?",
            "How is the waiting queue ordered?",
            "Why does sglite use lpm?",
            "How does lpm order the queue?",
            "Can a request wait forever?",
            "fcfs or lpm",
            "schedule policy",
        ],
        names_zh=["调度策略", "lpm 策略", "最长前缀匹配", "fcfs"],
        text_zh=(
            "调度策略决定等待的请求按什么顺序进入批次。fcfs 按到达的先后；lpm 先选缓存前缀最长的"
            "请求，是 sglite 的默认策略。等待时间有上限，以保证公平。"
        ),
        questions_zh=[
            "有哪些调度策略？",
            "lpm 是什么意思？",
            "fcfs 是什么意思？",
            "fcfs 和 lpm 有什么区别？",
            "等待队列按什么顺序排列？",
            "应该用哪种调度策略？",
            "sglite 为什么用 lpm？",
            "--schedule-policy 有什么用？",
        ],
    ),
    Topic(
        id="retraction",
        names=[
            "retraction",
            "retracting a request",
            "preemption of requests",
            "a retracted request",
        ],
        text=(
            "Retraction takes a running request, in sglite the youngest, back to the waiting queue "
            "when the KV memory is full. Its pages are freed for the others; it keeps the tokens "
            "generated so far and continues later, once there is room again."
        ),
        questions=[
            "What happens when the KV memory is full?",
            "What happens when the engine runs out of KV memory?",
            "What happens to a request that is retracted?",
            "Why was my request retracted?",
            "When does the engine retract a request?",
            "Why are requests preempted?",
            "Does a retracted request lose its tokens?",
            "What if running requests need more pages than there are?",
            "How does sglite handle memory pressure?",
            "Which request is retracted?",
            "request preemption",
        ],
        names_zh=["请求撤回", "撤回", "抢占", "retraction"],
        text_zh=(
            "撤回是在 KV 内存用完时，把最晚到达的正在运行的请求放回等待队列。它的页让给其他请求，"
            "已经生成的词元保留下来，等有空间时再继续生成。"
        ),
        questions_zh=[
            "KV 内存用完了怎么办？",
            "什么时候会撤回请求？",
            "为什么请求会被撤回？",
            "被撤回的请求会丢失词元吗？",
            "请求被撤回后会怎么样？",
            "sglite 内存不足时怎么办？",
            "撤回有什么作用？",
        ],
    ),
    Topic(
        id="abort",
        names=["an abort", "aborting a request", "cancelling a request", "a request deadline"],
        text=(
            "Aborting a request stops it before its answer is complete, because the caller "
            "cancelled it, went away or set a deadline that has passed. The engine takes it out of "
            "the queue or the batch and frees its pages."
        ),
        questions=[
            "How can I cancel a request?",
            "How do I abort a request?",
            "What happens when a client disconnects?",
            "What happens when a request is aborted?",
            "What happens when a deadline passes?",
            "How do I stop a running request?",
            "Can I set a timeout for a request?",
            "What happens to the memory of a cancelled request?",
            "What does --request-timeout-s do?",
            "Why does a request end with abort?",
            "Can a waiting request be cancelled?",
            "abort request",
        ],
        names_zh=["取消请求", "中止请求", "请求超时", "abort"],
        text_zh=(
            "中止请求是在回答完成之前停止它，因为用户取消了请求、断开了连接或者期限已过。引擎把它"
            "从队列或批次中移除，并释放它占用的页。"
        ),
        questions_zh=[
            "怎样取消一个请求？",
            "怎样中止正在运行的请求？",
            "客户端断开连接会怎么样？",
            "请求超时会怎么样？",
            "可以给请求设置期限吗？",
            "取消的请求占用的内存会释放吗？",
            "为什么请求会被中止？",
        ],
    ),
    Topic(
        id="streaming",
        names=["streaming", "streaming output", "a streamed answer", "token streaming"],
        text=(
            "Streaming sends an answer piece by piece while it is still being generated. The user "
            "sees the first words soon instead of waiting for the whole text; over HTTP the pieces "
            "usually come as server-sent events."
        ),
        questions=[
            "How does streaming work?",
            "What does stream=true do?",
            "Why should I stream the answer?",
            "How can I see the answer while it is generated?",
            "How do I get tokens as they come?",
            "Can I read the answer before it is complete?",
            "What are server-sent events used for here?",
            "What is streaming good for?",
            "How are answers streamed over HTTP?",
            "Does streaming make the answer faster?",
            "When should I use streaming?",
            "streaming responses",
        ],
        names_zh=["流式输出", "流式传输", "流式响应", "streaming"],
        text_zh=(
            "流式输出在生成的同时把回答一段一段地发出去。用户很快就能看到开头，不必等到全文完成；"
            "通过 HTTP 时，通常使用服务器发送事件。"
        ),
        questions_zh=[
            "流式输出是怎么工作的？",
            "流式输出有什么好处？",
            "怎样边生成边看到回答？",
            "为什么要用流式输出？",
            "stream=true 有什么作用？",
            "回答完成之前能看到内容吗？",
            "什么时候应该用流式输出？",
        ],
    ),
]
"""The subjects of this part."""

"""What the guide knows of drafts, forms of output and the end of an answer."""

from __future__ import annotations

from training.skills.guide.topic import Topic

TOPICS: list[Topic] = [
    Topic(
        id="speculative_decoding",
        names=["speculative decoding", "speculation", "speculative sampling"],
        text=(
            "Speculative decoding guesses several next tokens cheaply and lets the large model "
            "check them all in one pass. Right guesses are kept, and the first wrong one is "
            "replaced. The output stays the same, but it comes faster."
        ),
        questions=[
            "How does speculative decoding work?",
            "Why is speculative decoding faster?",
            "When should I use speculative decoding?",
            "What problem does speculative decoding solve?",
            "Does speculative decoding change the output?",
            "What happens when a guessed token is wrong?",
            "How can several tokens be checked in one pass?",
            "speculative decoding",
            "speculation",
            "What is the acceptance rate in speculative decoding?",
            "Why can a model check many tokens at once?",
            "When does speculative decoding not help?",
            "What is n-gram speculation?",
            "Tell me about speculative decoding.",
        ],
        names_zh=["投机解码", "推测解码", "投机采样"],
        text_zh=(
            "投机解码先低成本地猜出后面几个 token，再让大模型一次前向全部检查。"
            "猜对的保留，第一个猜错的被替换。输出不变，但速度更快。"
        ),
        questions_zh=[
            "投机解码是怎么工作的？",
            "为什么投机解码更快？",
            "什么时候适合用投机解码？",
            "投机解码解决什么问题？",
            "投机解码会改变输出吗？",
            "猜错的 token 会怎么样？",
            "为什么可以一次检查多个 token？",
            "投机解码",
        ],
    ),
    Topic(
        id="draft_model",
        names=["a draft model", "the draft model", "a drafter", "the draft"],
        text=(
            "A draft model is a small, fast model that proposes the tokens which a larger model "
            "then verifies. It should share the tokenizer of the large model and agree with it "
            "often: the more drafts are accepted, the greater the gain."
        ),
        questions=[
            "How does a draft model work?",
            "What does the draft model do?",
            "Why do I need a draft model?",
            "Which draft model should I choose?",
            "What makes a good draft model?",
            "How large should the draft model be?",
            "Must the draft model use the same tokenizer?",
            "draft model",
            "drafter",
            "What is the difference between the draft model and the target model?",
            "Who proposes the tokens in speculative decoding?",
            "How many tokens does the draft model propose?",
            "What happens when the draft model is bad?",
        ],
        names_zh=["草稿模型", "小草稿模型", "draft 模型"],
        text_zh=(
            "草稿模型是一个又小又快的模型，负责提出候选 token，再由大模型验证。"
            "它应与大模型使用同一个分词器，预测越一致，被接受的越多，加速越明显。"
        ),
        questions_zh=[
            "草稿模型是怎么工作的？",
            "草稿模型有什么作用？",
            "怎样选择草稿模型？",
            "草稿模型应该多大？",
            "好的草稿模型有什么特点？",
            "草稿模型和目标模型有什么区别？",
            "草稿模型需要相同的分词器吗？",
            "草稿模型",
        ],
        plural_names=["draft models", "draft tokens"],
    ),
    Topic(
        id="structured_output",
        names=["structured output", "constrained decoding", "guided decoding", "JSON mode"],
        text=(
            "Structured output makes the answer follow a JSON schema, a regular expression or a "
            "grammar. At each step the tokens that would break the rules are masked out, so that "
            "the result can always be parsed."
        ),
        questions=[
            "How does structured output work?",
            "Why use structured output?",
            "When should I use structured output?",
            "What problem does structured output solve?",
            "How do I get valid JSON?",
            "How do I force the answer into a JSON schema?",
            "How do I constrain the output with a regex?",
            "Can the output follow a grammar?",
            "How are invalid tokens masked?",
            "structured output",
            "constrained decoding",
            "json schema",
            "json mode",
            "What does response_format do?",
            "What is a grammar mask?",
        ],
        names_zh=["结构化输出", "约束解码", "JSON 模式"],
        text_zh=(
            "结构化输出让回答符合 JSON schema、正则表达式或语法。每一步都会屏蔽"
            "违反规则的 token，所以得到的结果总是可以被程序解析。"
        ),
        questions_zh=[
            "结构化输出是怎么工作的？",
            "为什么要用结构化输出？",
            "结构化输出解决什么问题？",
            "怎样保证输出合法的 JSON？",
            "怎样让回答符合 JSON schema？",
            "可以用正则表达式约束输出吗？",
            "什么是约束解码？",
            "response_format 有什么用？",
            "结构化输出",
        ],
        plural_names=["structured outputs", "grammar masks"],
    ),
    Topic(
        id="jump_forward",
        names=["jump-forward decoding", "jump forward", "jump-forward", "jump forward decoding"],
        text=(
            "Jump-forward decoding skips steps in which the grammar allows only one continuation, "
            "such as a key of a JSON object. The fixed text is appended at once, without asking "
            "the model for each of its tokens."
        ),
        questions=[
            "How does jump-forward decoding work?",
            "How does jump forward work?",
            "Why is jump-forward decoding faster?",
            "When does jump-forward help?",
            "What problem does jump-forward decoding solve?",
            "What happens when the grammar allows only one continuation?",
            "Why can fixed text in JSON be appended at once?",
            "jump forward",
            "jump-forward decoding",
            "How are the keys of a JSON object generated faster?",
            "Which tokens does jump-forward skip?",
            "Can an engine skip decoding steps in a grammar?",
        ],
        names_zh=["跳跃前进解码", "跳跃解码", "jump-forward"],
        text_zh=(
            "跳跃前进解码会跳过语法只允许一种后续的步骤，例如 JSON 对象的键。"
            "这段固定的文本会一次性追加，不必让模型逐个生成其中的 token。"
        ),
        questions_zh=[
            "跳跃前进解码是怎么工作的？",
            "跳跃前进解码为什么快？",
            "什么时候可以跳跃前进？",
            "跳跃前进解码解决什么问题？",
            "语法只有一种后续时会怎么样？",
            "JSON 的键可以一次性生成吗？",
            "jump-forward 是什么意思？",
            "跳跃前进解码",
        ],
    ),
    Topic(
        id="tool_calls",
        names=["a tool call", "tool calling", "function calling", "a function call of the model"],
        text=(
            "A tool call is a request by the model to run a function, written as JSON with a name "
            "and arguments. Your program runs the function and sends back the result, and the "
            "model then uses it in its answer."
        ),
        questions=[
            "How do tool calls work?",
            "How does tool calling work?",
            "How does function calling work?",
            "Why use tool calls?",
            "When does a model call a tool?",
            "Who runs the function of a tool call?",
            "What does a tool call look like?",
            "How do I give the model tools?",
            "tool calls",
            "tool calling",
            "function calling",
            "What is a tool call parser?",
            "What happens after a tool call?",
            "How do I send a tool result back?",
            "Does the model run the tools itself?",
        ],
        names_zh=["工具调用", "函数调用", "function calling"],
        text_zh=(
            "工具调用是模型请求运行某个函数，以 JSON 写出函数名和参数。"
            "由你的程序执行函数并把结果发回，模型再根据结果写出回答。"
        ),
        questions_zh=[
            "工具调用是怎么工作的？",
            "为什么要用工具调用？",
            "模型什么时候会调用工具？",
            "工具调用由谁来执行？",
            "怎样给模型提供工具？",
            "函数调用是怎么实现的？",
            "怎样把工具结果发回给模型？",
            "工具调用",
        ],
        plural_names=["tool calls", "tools for a model"],
    ),
    Topic(
        id="reasoning",
        names=["reasoning", "thinking mode", "a think block", "a reasoning model"],
        text=(
            "Reasoning means that the model thinks before it answers: it writes its steps in a "
            "think block and then the final reply. The server can return both parts separately, "
            "so that a program shows only the answer."
        ),
        questions=[
            "How does reasoning work?",
            "How does thinking mode work?",
            "Why do models think before they answer?",
            "When is thinking useful?",
            "What is the think tag?",
            "What does <think> mean?",
            "How do I turn thinking on?",
            "How do I turn off thinking?",
            "How do I hide the thinking?",
            "reasoning",
            "thinking mode",
            "reasoning content",
            "What is reasoning_content?",
            "What does the reasoning parser do?",
            "What does enable_thinking do?",
        ],
        names_zh=["推理模式", "思考模式", "思考过程", "推理模型"],
        text_zh=(
            "思考模式是指模型先思考再回答：先把步骤写在 think 块里，再写最终的答复。"
            "服务器可以把两部分分开返回，程序只需显示答案。"
        ),
        questions_zh=[
            "思考模式是怎么工作的？",
            "模型为什么要先思考再回答？",
            "什么时候需要思考模式？",
            "think 标签是什么意思？",
            "怎样开启思考模式？",
            "怎样关闭思考？",
            "怎样隐藏思考过程？",
            "思考模式",
        ],
        plural_names=["think blocks", "reasoning models", "think tags"],
    ),
    Topic(
        id="chat_template",
        names=["a chat template", "the chat template", "chat template"],
        text=(
            "A chat template turns a list of messages into the one text that the model was "
            "trained on, with marks for the system, user and assistant roles. It comes with the "
            "checkpoint and is written in Jinja."
        ),
        questions=[
            "How does a chat template work?",
            "Why do models need a chat template?",
            "What does the chat template do?",
            "What problem does a chat template solve?",
            "What happens when the chat template is wrong?",
            "Where does the chat template come from?",
            "How are chat messages turned into a prompt?",
            "How are roles marked in the prompt?",
            "chat template",
            "jinja template",
            "Can I use my own chat template?",
            "What does --chat-template do?",
            "What is the difference between chat and plain completion?",
        ],
        names_zh=["对话模板", "聊天模板", "chat template"],
        text_zh=(
            "对话模板把一组消息转换成模型训练时使用的文本格式，并标出系统、用户和助手的角色。"
            "它随模型文件一起提供，用 Jinja 编写。"
        ),
        questions_zh=[
            "对话模板是怎么工作的？",
            "模型为什么需要对话模板？",
            "对话模板有什么作用？",
            "对话模板从哪里来？",
            "对话模板用错了会怎么样？",
            "消息怎样变成提示词？",
            "可以使用自己的对话模板吗？",
            "对话模板",
        ],
        plural_names=["chat templates"],
    ),
    Topic(
        id="stop",
        names=["a stop string", "a finish reason", "the finish reason", "a stop token"],
        text=(
            "Stop conditions end an answer: the end token, a stop string of yours, or the limit "
            "on new tokens. The finish reason says which it was: stop for the first two, length "
            "for the limit, abort if it was cancelled."
        ),
        questions=[
            "How do stop strings work?",
            "Why use stop strings?",
            "When does an answer end?",
            "How does the model know when to stop?",
            "What does finish_reason mean?",
            "What does finish reason length mean?",
            "What does finish reason stop mean?",
            "Why was my answer cut off?",
            "How do I end an answer at a certain word?",
            "How do I limit the length of an answer?",
            "What does max_new_tokens do?",
            "stop strings",
            "finish reason",
            "What is the end-of-sequence token?",
            "What does ignore_eos do?",
        ],
        names_zh=["停止字符串", "停止条件", "结束原因", "finish_reason"],
        text_zh=(
            "停止条件决定回答何时结束：结束 token、自定义的停止字符串或长度上限。"
            "结束原因说明是哪一种：前两种是 stop，上限是 length，取消是 abort。"
        ),
        questions_zh=[
            "停止字符串是怎么工作的？",
            "回答什么时候结束？",
            "模型怎么知道该停下来？",
            "finish_reason 是什么意思？",
            "结束原因是 length 说明什么？",
            "为什么回答被截断了？",
            "怎样限制回答的长度？",
            "停止条件",
        ],
        plural_names=["stop strings", "finish reasons", "stop conditions", "stop tokens"],
    ),
    Topic(
        id="detokenizer",
        names=["the detokenizer", "a detokenizer", "detokenization"],
        text=(
            "The detokenizer turns the token ids of an answer back into text. It works piece by "
            "piece and holds back a character whose bytes are not complete yet, so that streamed "
            "text never shows broken characters."
        ),
        questions=[
            "How does the detokenizer work?",
            "What does the detokenizer do?",
            "Why is a detokenizer needed?",
            "What problem does the detokenizer solve?",
            "How do token ids become text again?",
            "What happens to an incomplete character while streaming?",
            "Why does streamed text show no broken characters?",
            "detokenizer",
            "detokenization",
            "incremental detokenization",
            "What is the difference between the tokenizer and the detokenizer?",
            "Why is detokenization done in a process of its own?",
            "What is the opposite of the tokenizer?",
        ],
        names_zh=["反分词器", "detokenizer", "反分词"],
        text_zh=(
            "反分词器把回答的 token id 还原成文本。它逐段处理，字节还不完整的字符会先保留，"
            "所以流式输出不会出现乱码。"
        ),
        questions_zh=[
            "反分词器是怎么工作的？",
            "反分词器有什么作用？",
            "为什么需要反分词器？",
            "token id 怎样变回文本？",
            "流式输出为什么不会有乱码？",
            "分词器和反分词器有什么区别？",
            "不完整的字符怎么处理？",
            "反分词器",
        ],
    ),
]
"""The topics of this module."""

"""What the guide knows of using sglite: commands, interfaces, files, hardware and licence."""

from __future__ import annotations

from training.skills.guide.topic import Topic

TOPICS: list[Topic] = [
    Topic(
        id="openai_api",
        names=["the OpenAI API", "the OpenAI-compatible server", "an OpenAI-compatible API"],
        text=(
            "The OpenAI API of sglite answers the same requests as OpenAI's, such as "
            "/v1/chat/completions and /v1/completions. Any OpenAI client works: set its base URL "
            "to http://127.0.0.1:30000/v1 and use any key."
        ),
        questions=[
            "How do I use the OpenAI client with sglite?",
            "Is sglite compatible with OpenAI?",
            "Does sglite have an OpenAI API?",
            "Which endpoints does the server have?",
            "What is the base URL of the server?",
            "Which base URL do I set in my client?",
            "How do I send a chat request over HTTP?",
            "Can I use the openai package?",
            "Which HTTP API does sglite offer?",
            "openai api",
            "openai compatible server",
            "chat completions endpoint",
            "Why does sglite speak the OpenAI protocol?",
            "Do I need an API key?",
            "How do I call the server with curl?",
        ],
        names_zh=["OpenAI API", "OpenAI 兼容接口", "OpenAI 兼容服务器"],
        text_zh=(
            "OpenAI 兼容接口接受与 OpenAI 相同的请求，其客户端都能使用。"
            "把地址设为 http://127.0.0.1:30000/v1 即可。"
        ),
        questions_zh=[
            "sglite 兼容 OpenAI 吗？",
            "怎样用 OpenAI 客户端连接 sglite？",
            "服务器有哪些接口？",
            "base URL 应该怎么设置？",
            "可以使用 openai 的 Python 包吗？",
            "怎样通过 HTTP 发送对话请求？",
            "需要 API key 吗？",
            "OpenAI 兼容接口",
        ],
    ),
    Topic(
        id="serve_command",
        names=["sglite serve", "the serve command", "the sglite serve command"],
        text=(
            "The serve command starts the HTTP server: run sglite serve --model with a path or a "
            "Hugging Face id. It listens on 127.0.0.1, port 30000; --host and --port change that. "
            "Without --model it serves the small embedded model."
        ),
        questions=[
            "How do I start the server?",
            "How do I start sglite?",
            "How do I run sglite?",
            "How do I serve a model?",
            "How can I serve my own model?",
            "How do I load a larger model?",
            "Which port does the server use?",
            "How do I change the port?",
            "What is the default port?",
            "What does sglite serve do?",
            "How do I make the server reachable from other machines?",
            "sglite serve",
            "start the server",
            "serve command",
            "What happens when I run sglite serve without a model?",
            "What does --model do?",
        ],
        names_zh=["sglite serve", "serve 命令", "sglite serve 命令"],
        text_zh=(
            "serve 命令启动 HTTP 服务器：运行 sglite serve，用 --model 指定模型。"
            "默认端口是 30000，可用 --port 修改。"
        ),
        questions_zh=[
            "怎么启动服务器？",
            "怎样启动 sglite？",
            "怎样部署一个模型？",
            "怎样使用自己的模型？",
            "服务器用哪个端口？",
            "默认端口是多少？",
            "怎样修改端口？",
            "启动服务器",
            "sglite serve 有什么用？",
        ],
    ),
    Topic(
        id="chat_command",
        names=["sglite chat", "the chat command", "the sglite chat command"],
        text=(
            "The chat command opens a chat in the terminal: run sglite chat, type a message, and "
            "the answer is streamed. /reset forgets the conversation, /help lists the commands and "
            "/exit leaves. With --model you choose another model."
        ),
        questions=[
            "How do I chat with a model?",
            "How do I start a chat?",
            "How do I chat in the terminal?",
            "How can I chat with sglite?",
            "What does sglite chat do?",
            "How do I leave the chat?",
            "How do I clear the conversation?",
            "Which commands does the chat have?",
            "What does /reset do?",
            "What does /exit do?",
            "How do I try a model without a server?",
            "sglite chat",
            "terminal chat",
            "chat command",
            "Is there a terminal chat?",
        ],
        names_zh=["sglite chat", "chat 命令", "sglite chat 命令"],
        text_zh=(
            "chat 命令在终端中打开对话：运行 sglite chat，输入消息即可看到回答。"
            "/reset 清除对话，/help 列出命令，/exit 退出。"
        ),
        questions_zh=[
            "怎样和模型聊天？",
            "怎样在终端里聊天？",
            "怎样开始对话？",
            "怎样退出聊天？",
            "怎样清除对话？",
            "聊天有哪些命令？",
            "sglite chat 有什么用？",
            "终端聊天",
        ],
    ),
    Topic(
        id="offline",
        names=["offline use", "the LLM class", "the Python API", "offline inference"],
        text=(
            "Offline use needs no server: in Python, write from sglite import LLM, create llm = "
            "LLM() and call llm.generate or llm.chat. Give it a whole list of prompts at once, "
            "and the engine batches them."
        ),
        questions=[
            "How do I use sglite from Python?",
            "How do I use sglite without a server?",
            "How do I use the LLM class?",
            "What does the LLM class do?",
            "How do I generate text in Python?",
            "Can I call sglite from a script?",
            "Is there a Python API?",
            "How do I process many prompts offline?",
            "How do I run a list of prompts?",
            "When should I use offline inference?",
            "Why use the LLM class instead of the server?",
            "from sglite import LLM",
            "llm.generate",
            "offline inference",
            "python api",
        ],
        names_zh=["离线使用", "LLM 类", "离线推理", "Python 接口"],
        text_zh=(
            "离线使用不需要服务器：在 Python 中从 sglite 导入 LLM 类，"
            "再调用 generate 或 chat 方法。可以一次传入一组提示词，自动批处理。"
        ),
        questions_zh=[
            "怎样在 Python 中使用 sglite？",
            "不启动服务器怎么用 sglite？",
            "怎样使用 LLM 类？",
            "LLM 类有什么用？",
            "怎样在 Python 里生成文本？",
            "怎样离线处理大量提示词？",
            "什么时候用离线推理？",
            "离线推理",
        ],
    ),
    Topic(
        id="safetensors",
        names=["safetensors", "the safetensors format", "a safetensors file"],
        text=(
            "Safetensors is a file format for model weights: a small header and then the raw "
            "numbers. It loads fast, because the file can be mapped into memory, and it is safe, "
            "because unlike a pickle it contains no code."
        ),
        questions=[
            "How does safetensors work?",
            "Why is safetensors used?",
            "Why is safetensors safe?",
            "Why does safetensors load fast?",
            "What problem does safetensors solve?",
            "What is in a safetensors file?",
            "In which format are weights stored?",
            "Which weight files can sglite load?",
            "Which file holds the weights of a model?",
            "safetensors",
            "model.safetensors",
            "What is the difference between safetensors and pickle?",
            "Why not load weights from a pickle?",
        ],
        names_zh=["safetensors", "safetensors 格式", "safetensors 文件"],
        text_zh=(
            "safetensors 是存储模型权重的文件格式，由一个小文件头和原始数据组成。"
            "它可以映射到内存，所以加载快；它不含代码，所以比 pickle 安全。"
        ),
        questions_zh=[
            "safetensors 有什么用？",
            "为什么使用 safetensors？",
            "safetensors 为什么安全？",
            "safetensors 为什么加载快？",
            "模型权重用什么格式存储？",
            "safetensors 和 pickle 有什么区别？",
            "safetensors 文件里有什么？",
            "sglite 可以加载什么格式的权重？",
        ],
        plural_names=["safetensors files"],
    ),
    Topic(
        id="gpu_needed",
        names=["the hardware requirement", "the GPU requirement"],
        text=(
            "A GPU is not needed: sglite also runs on a CPU, from a laptop to a server, with the "
            "same scheduler and the same cache. A GPU is much faster, especially for large models "
            "and many requests."
        ),
        questions=[
            "Do I need a GPU?",
            "Does sglite need a GPU?",
            "Is a GPU required?",
            "Can sglite run on a CPU?",
            "Does sglite run on a CPU?",
            "Can I use sglite without a GPU?",
            "Does it work without CUDA?",
            "Can I run it on a laptop?",
            "Does sglite run on my laptop?",
            "What hardware do I need?",
            "Which hardware does sglite support?",
            "CPU or GPU?",
            "Why would I use a GPU?",
            "run on cpu",
            "hardware requirements",
            "no gpu",
        ],
        names_zh=["硬件要求", "GPU 要求"],
        text_zh=(
            "GPU 不是必需的：sglite 也能在 CPU 上运行，从笔记本到服务器，"
            "使用同样的调度器和缓存。有 GPU 会快得多，尤其是大模型和大量请求时。"
        ),
        questions_zh=[
            "需要 GPU 吗？",
            "sglite 需要 GPU 吗？",
            "没有 GPU 能用吗？",
            "可以在 CPU 上运行吗？",
            "可以在笔记本上运行吗？",
            "需要什么硬件？",
            "没有 CUDA 能用吗？",
            "sglite 支持哪些硬件？",
        ],
        plural_names=["the hardware requirements", "the system requirements"],
    ),
    Topic(
        id="license",
        names=["the license", "the license of sglite", "the Apache 2.0 license"],
        text=(
            "The license of sglite is Apache 2.0. You may use, change and share it, also in "
            "commercial products, as long as you keep the license text and the notices and say "
            "which files you changed. There is no warranty."
        ),
        questions=[
            "Which license does sglite have?",
            "What license does sglite use?",
            "Under which license is sglite?",
            "Is sglite free?",
            "Is sglite open source?",
            "Can I use sglite commercially?",
            "May I use sglite at my company?",
            "May I change the code of sglite?",
            "Does sglite cost money?",
            "Can I redistribute sglite?",
            "What does Apache 2.0 allow?",
            "license",
            "apache 2.0",
            "Is there a warranty?",
        ],
        names_zh=["许可证", "sglite 的许可证", "Apache 2.0 许可证"],
        text_zh=(
            "许可证是 Apache 2.0。你可以使用、修改和分发 sglite，也可以用于商业产品，"
            "但要保留许可证和声明，并注明修改过的文件。软件不提供担保。"
        ),
        questions_zh=[
            "sglite 用什么许可证？",
            "sglite 是开源的吗？",
            "sglite 是免费的吗？",
            "sglite 可以商用吗？",
            "公司可以使用 sglite 吗？",
            "可以修改 sglite 的代码吗？",
            "Apache 2.0 允许做什么？",
            "许可证",
        ],
    ),
]
"""The topics of this module."""

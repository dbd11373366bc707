"""What the guide knows of running a model on several devices and several engines."""

from __future__ import annotations

from training.skills.guide.topic import Topic

TOPICS: list[Topic] = [
    Topic(
        id="tensor_parallelism",
        names=["tensor parallelism", "TP", "tensor parallel inference", "a tensor parallel model"],
        text=(
            "Tensor parallelism splits the weight matrices of every layer across several GPUs. "
            "Each GPU computes its share of each layer, and the parts are added up over a fast "
            "link. So a model can run that is too large for one GPU."
        ),
        questions=[
            "How does tensor parallelism work?",
            "Why is tensor parallelism used?",
            "When should I use tensor parallelism?",
            "What problem does tensor parallelism solve?",
            "How does TP split a layer across GPUs?",
            "What does the --tp option do?",
            "What is --tp-size for?",
            "tensor parallelism",
            "tp size",
            "How are weight matrices split across GPUs?",
            "Why does tensor parallelism need a fast link?",
            "Can several GPUs share every layer of a model?",
            "What happens in each layer under tensor parallelism?",
            "Tell me about tensor parallel inference.",
        ],
        names_zh=["张量并行", "TP", "TP 并行"],
        text_zh=(
            "张量并行把每一层的权重矩阵切分到多张 GPU 上。每张卡计算自己的那一部分，"
            "再通过高速互联把结果相加，因此可以运行单卡放不下的模型。"
        ),
        questions_zh=[
            "张量并行是怎么工作的？",
            "为什么要用张量并行？",
            "什么时候需要张量并行？",
            "张量并行解决什么问题？",
            "--tp 参数有什么用？",
            "权重矩阵怎么切分到多张卡上？",
            "张量并行为什么需要高速互联？",
            "张量并行",
        ],
    ),
    Topic(
        id="pipeline_parallelism",
        names=["pipeline parallelism", "PP", "pipeline parallel inference", "a pipeline stage"],
        text=(
            "Pipeline parallelism puts different layers of a model on different GPUs. A batch "
            "passes from one stage to the next, and several batches are in flight so that no "
            "stage waits. It needs little communication between the GPUs."
        ),
        questions=[
            "How does pipeline parallelism work?",
            "Why is pipeline parallelism used?",
            "When should I use pipeline parallelism?",
            "What problem does pipeline parallelism solve?",
            "How are the layers spread over pipeline stages?",
            "What does the --pp option do?",
            "What is --pp-size for?",
            "pipeline parallelism",
            "pp size",
            "Can different layers run on different GPUs?",
            "What happens between two pipeline stages?",
            "Why does pipeline parallelism keep several batches in flight?",
            "What is a pipeline bubble?",
            "Tell me about pipeline parallel inference.",
        ],
        names_zh=["流水线并行", "PP", "流水并行"],
        text_zh=(
            "流水线并行把模型的不同层放到不同的 GPU 上。批次依次经过各个阶段，"
            "同时有多个批次在途，避免某个阶段空等。它需要的通信量很小。"
        ),
        questions_zh=[
            "流水线并行是怎么工作的？",
            "为什么要用流水线并行？",
            "什么时候适合用流水线并行？",
            "流水线并行解决什么问题？",
            "--pp 参数有什么用？",
            "不同的层可以放在不同的卡上吗？",
            "流水线并行的各个阶段怎么配合？",
            "流水线并行",
        ],
        plural_names=["pipeline stages", "pipeline bubbles"],
    ),
    Topic(
        id="data_parallelism",
        names=["data parallelism", "DP", "data parallel serving", "a replica of the engine"],
        text=(
            "Data parallelism runs several copies of the engine, each with all the weights and a "
            "cache of its own. Every request goes to one of them. Throughput grows with the "
            "number of copies, but each copy needs the full memory."
        ),
        questions=[
            "How does data parallelism work?",
            "Why is data parallelism used?",
            "When should I use data parallelism?",
            "What problem does data parallelism solve?",
            "What does the --dp option do?",
            "What is --dp-size for?",
            "data parallelism",
            "dp size",
            "Can I run several copies of the engine?",
            "Why run more than one replica of a model?",
            "What does each replica hold in memory?",
            "How do I serve with several engines?",
            "Tell me about data parallel serving.",
        ],
        names_zh=["数据并行", "DP", "多副本部署"],
        text_zh=(
            "数据并行同时运行多个引擎副本，每个副本都有完整的权重和自己的缓存。"
            "每个请求只交给其中一个副本，吞吐量随副本数增长，但显存也成倍增加。"
        ),
        questions_zh=[
            "数据并行是怎么工作的？",
            "为什么要用数据并行？",
            "什么时候适合用数据并行？",
            "数据并行解决什么问题？",
            "--dp 参数有什么用？",
            "可以同时运行多个引擎副本吗？",
            "多个副本会占用多少显存？",
            "数据并行",
        ],
        plural_names=["engine replicas", "replicas"],
    ),
    Topic(
        id="dp_attention",
        names=["DP attention", "data parallel attention", "DP-attention", "attention DP"],
        text=(
            "DP attention gives each GPU its own requests and their KV cache for the attention "
            "part, while the MLP or expert layers are split over all GPUs. So no KV is stored "
            "twice, and larger batches fit."
        ),
        questions=[
            "How does DP attention work?",
            "Why is DP attention used?",
            "When should I use DP attention?",
            "What problem does DP attention solve?",
            "What does --enable-dp-attention do?",
            "dp attention",
            "data parallel attention",
            "How does DP attention save KV memory?",
            "Why split only the experts and not the attention?",
            "Why combine DP attention with expert parallelism?",
            "What does each GPU keep under DP attention?",
            "DP attention for MLA models",
            "Tell me about DP attention.",
        ],
        names_zh=["DP 注意力", "数据并行注意力", "DP-attention"],
        text_zh=(
            "DP 注意力让每张 GPU 在注意力部分只处理自己的请求和 KV 缓存，"
            "而 MLP 或专家层切分到所有卡上。这样 KV 不会重复存放，批次可以更大。"
        ),
        questions_zh=[
            "DP 注意力是怎么工作的？",
            "为什么要用 DP 注意力？",
            "DP 注意力解决什么问题？",
            "什么时候应该开启 DP 注意力？",
            "DP 注意力怎样节省 KV 显存？",
            "为什么只切分专家层而不切分注意力？",
            "DP 注意力",
            "--enable-dp-attention 有什么用？",
        ],
    ),
    Topic(
        id="router",
        names=["the router", "a router", "cache-aware routing", "a cache-aware router"],
        text=(
            "The router stands before several engines and picks one for each request. A "
            "cache-aware router sends prompts with the same beginning to the same engine, which "
            "already has that prefix cached, and still keeps the load even."
        ),
        questions=[
            "How does the router work?",
            "What does the router do?",
            "Why does routing look at the cache?",
            "When do I need a router?",
            "What problem does cache-aware routing solve?",
            "How does cache-aware routing work?",
            "cache-aware routing",
            "router",
            "Which engine gets a request?",
            "How are requests spread over several engines?",
            "Why not just use round robin between engines?",
            "How is the load balanced between engines?",
            "What happens when one engine is overloaded?",
            "Round robin or cache-aware routing?",
        ],
        names_zh=["路由器", "缓存感知路由", "请求路由"],
        text_zh=(
            "路由器位于多个引擎之前，为每个请求选择一个引擎。缓存感知的路由器会把"
            "开头相同的提示词发给同一个引擎，复用它已缓存的前缀，同时保持负载均衡。"
        ),
        questions_zh=[
            "路由器是怎么工作的？",
            "路由器有什么作用？",
            "为什么路由要考虑缓存？",
            "什么时候需要路由器？",
            "请求怎样分配给多个引擎？",
            "缓存感知路由解决什么问题？",
            "为什么不用轮询来分配请求？",
            "缓存感知路由",
        ],
    ),
    Topic(
        id="moe",
        names=["a mixture of experts", "MoE", "a MoE model", "mixture of experts", "an MoE layer"],
        text=(
            "Mixture of experts replaces one large MLP by many smaller ones, the experts. For "
            "every token a gate chooses a few of them, so that only a small part of the weights "
            "is computed although the model is large."
        ),
        questions=[
            "How does a mixture of experts work?",
            "How does MoE work?",
            "Why are MoE models fast?",
            "Why use a mixture of experts?",
            "What problem does MoE solve?",
            "mixture of experts",
            "moe",
            "What is the difference between a dense and a MoE model?",
            "How are experts chosen for a token?",
            "How many experts are used for each token?",
            "What does the gate of a MoE layer do?",
            "What are active parameters?",
            "What is an expert in a MoE model?",
            "Why does a MoE model need so much memory?",
            "What is expert parallelism?",
        ],
        names_zh=["混合专家模型", "MoE", "混合专家", "MoE 模型"],
        text_zh=(
            "混合专家模型用许多较小的专家网络代替一个大的 MLP。门控为每个 token "
            "选择少数几个专家，所以模型虽大，每次只需计算一小部分权重。"
        ),
        questions_zh=[
            "混合专家模型是怎么工作的？",
            "MoE 是怎么工作的？",
            "为什么 MoE 模型速度快？",
            "MoE 和稠密模型有什么区别？",
            "专家是怎样被选中的？",
            "什么是激活参数？",
            "门控网络有什么作用？",
            "MoE 解决什么问题？",
            "混合专家",
        ],
        plural_names=["experts in a MoE model", "MoE models", "mixture-of-experts models"],
    ),
    Topic(
        id="pd_disaggregation",
        names=[
            "PD disaggregation",
            "prefill-decode disaggregation",
            "disaggregated serving",
            "disaggregated prefill",
        ],
        text=(
            "PD disaggregation runs prefill and decode in separate processes or on separate "
            "machines. The prefill side computes the prompt and sends its KV cache to the decode "
            "side, so that long prompts do not slow down running answers."
        ),
        questions=[
            "How does PD disaggregation work?",
            "Why is PD disaggregation used?",
            "When should I use PD disaggregation?",
            "What problem does PD disaggregation solve?",
            "Why separate prefill and decode?",
            "Can prefill and decode run on different machines?",
            "How does the KV cache get from prefill to decode servers?",
            "pd disaggregation",
            "prefill decode disaggregation",
            "disaggregation",
            "What is a prefill server and a decode server?",
            "What is sent from the prefill side to the decode side?",
            "Tell me about disaggregated serving.",
        ],
        names_zh=["PD 分离", "预填充与解码分离", "PD 分离部署"],
        text_zh=(
            "PD 分离把预填充和解码放在不同的进程或机器上运行。预填充一侧计算提示词，"
            "并把 KV 缓存传给解码一侧，这样长提示词不会拖慢正在生成的回答。"
        ),
        questions_zh=[
            "PD 分离是怎么工作的？",
            "为什么要做 PD 分离？",
            "PD 分离解决什么问题？",
            "什么时候适合用 PD 分离？",
            "预填充和解码可以在不同机器上运行吗？",
            "为什么要把预填充和解码分开？",
            "PD 分离时 KV 缓存怎么传输？",
            "PD 分离",
        ],
    ),
]
"""The topics of this module."""

"""Rendered chats equal those of transformers; a template can neither escape nor run away."""

import pytest
from transformers import AutoTokenizer

from sglite.errors import ModelLoadError, RequestError
from sglite.tokenizer import chat_template
from sglite.tokenizer.chat_template import ChatTemplate, PlannedChat
from sglite.tokenizer.loading import load_tokenizer
from tests.fakes_text import byte_level_backend, save_model_directory

CHATML = (
    "{%- for message in messages %}"
    "{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{%- endif %}"
)

# In the manner of Qwen3: tools, tool calls and answers, reasoning that is dropped from old turns.
QWEN = """
{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\\n\\n' }}
    {%- endif %}
    {{- "# Tools\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools><|im_end|>\\n" }}
{%- elif messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- set ns = namespace(last_query=messages|length - 1, seen=false) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if not ns.seen and message.role == "user" %}
        {%- set ns.seen = true %}
        {%- set ns.last_query = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- set content = message.content if message.content is string else '' %}
    {%- if message.role == 'user' or (message.role == 'system' and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == 'assistant' %}
        {%- set reasoning = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning = message.reasoning_content %}
        {%- endif %}
        {%- if '</think>' in content %}
            {%- set reasoning = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1] %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {{- '<|im_start|>assistant\\n' }}
        {%- if loop.index0 > ns.last_query and reasoning %}
            {{- '<think>\\n' + reasoning.strip('\\n') + '\\n</think>\\n\\n' }}
        {%- endif %}
        {%- generation %}{{- content }}{%- endgeneration %}
        {%- for call in message.tool_calls or [] %}
            {%- if call.function %}{%- set call = call.function %}{%- endif %}
            {{- '\\n<tool_call>\\n{"name": "' + call.name + '", "arguments": ' }}
            {{- call.arguments if call.arguments is string else call.arguments | tojson }}
            {{- '}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == 'tool' %}
        {%- if loop.first or messages[loop.index0 - 1].role != 'tool' %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\\n<tool_response>\\n' + content + '\\n</tool_response>' }}
        {%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}
            {{- '<|im_end|>\\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
"""

# In the manner of Llama 3: BOS, trimmed contents, a date, tools in the user's turn.
LLAMA3 = """
{{- bos_token }}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- endif %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content'] | trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start|>system<|end|>\\n\\nToday: " + date_string + "\\n\\n" }}
{%- if tools is not none %}
    {%- for t in tools %}{{- t | tojson(indent=4) }}{{- "\\n\\n" }}{%- endfor %}
{%- endif %}
{{- system_message + "<|eot|>" }}
{%- for message in messages %}
    {%- if message.role == 'skip' %}{%- continue %}{%- endif %}
    {%- if 'tool_calls' in message %}
        {%- if not message.tool_calls | length == 1 %}
            {{- raise_exception("one tool call at a time") }}
        {%- endif %}
        {{- message.tool_calls[0].function.arguments | tojson }}
    {%- else %}
        {{- '<|start|>' + message['role'] + '<|end|>\\n\\n' }}
        {{- message['content'] | trim + '<|eot|>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start|>assistant<|end|>\\n\\n' }}
{%- endif %}
"""

# In the manner of Mistral: a system prompt in the last user turn, strict alternation.
MISTRAL = """
{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception("roles must alternate user/assistant/user/assistant/...") }}
    {%- endif %}
    {%- if message["role"] == "user" %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- else %}
        {{- " " + message["content"] | trim + eos_token }}
    {%- endif %}
{%- endfor %}
"""

# Without the minus signs: the renderer trims newlines after blocks and blanks before them.
UNTRIMMED = """{% for message in messages %}
    {% if message.content %}
{{ message.role }}: {{ message.content }}
    {% endif %}
{% endfor %}
"""

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Wetter für <einen> Ort & 'mehr'",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]
SHORT = [{"role": "user", "content": "  Hi there \n"}]
LONG = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Größe? 你好"},
    {"role": "assistant", "content": "<think>\nhm\n</think>\n\n42 "},
    {"role": "user", "content": "And now?"},
]
CALLED = [
    {"role": "user", "content": "Weather in Paris?"},
    {
        "role": "assistant",
        "content": None,
        "reasoning_content": "look it up",
        "tool_calls": [
            {
                "id": "call_1",
                "type": "function",
                "function": {"name": "weather", "arguments": {"city": "Zürich"}},
            }
        ],
    },
    {"role": "tool", "content": "sunny", "tool_call_id": "call_1"},
]
CHATS = {"short": SHORT, "long": LONG, "called": CALLED}
TEMPLATES = {
    "chatml": CHATML,
    "qwen": QWEN,
    "llama3": LLAMA3,
    "mistral": MISTRAL,
    "untrimmed": UNTRIMMED,
}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """By template: our tokenizer and transformers' of the same directory."""
    backend = byte_level_backend(("<s>", "</s>", "<|im_start|>", "<|im_end|>"))
    made = {}
    for name, source in TEMPLATES.items():
        directory = save_model_directory(
            tmp_path_factory.mktemp(name),
            backend,
            config={"bos_token": "<s>", "eos_token": "</s>", "chat_template": source},
        )
        made[name] = (load_tokenizer(directory), AutoTokenizer.from_pretrained(str(directory)))
    return made


COMBINATIONS = [
    (template, chat)
    for template in TEMPLATES
    for chat in CHATS
    if chat != "called" or template in ("qwen", "llama3")
]


@pytest.mark.parametrize(("template", "chat"), COMBINATIONS)
@pytest.mark.parametrize("tools", [None, TOOLS])
@pytest.mark.parametrize("kwargs", [{}, {"enable_thinking": False, "date_string": "1 May"}])
def test_prompts_equal_those_of_transformers(pairs, template, chat, tools, kwargs):
    tokenizer, reference = pairs[template]
    options = {"tools": tools, "add_generation_prompt": True}
    expected = reference.apply_chat_template(CHATS[chat], tokenize=False, **options, **kwargs)
    assert tokenizer.render_chat(CHATS[chat], template_kwargs=kwargs, **options) == expected
    ids = reference.apply_chat_template(CHATS[chat], return_dict=False, **options, **kwargs)
    assert tokenizer.encode_chat(CHATS[chat], template_kwargs=kwargs, **options) == ids


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("ending", ["partial", "partial  ", "42", " <sglite-continue-here> x"])
def test_continued_messages_equal_those_of_transformers(pairs, template, ending):
    tokenizer, reference = pairs[template]
    chat = [{"role": "user", "content": "42"}, {"role": "assistant", "content": ending}]
    expected = reference.apply_chat_template(chat, tokenize=False, continue_final_message=True)
    assert tokenizer.render_chat(chat, continue_final_message=True) == expected


def test_arguments_as_json_text_render_as_an_object(pairs):
    tokenizer, _ = pairs["llama3"]
    function = {"name": "weather", "arguments": '{"city": "Zürich"}'}
    as_text = [CALLED[0], {**CALLED[1], "tool_calls": [{"function": function}]}, CALLED[2]]
    assert tokenizer.render_chat(as_text) == tokenizer.render_chat(CALLED)


def test_parts_render_as_one_string(pairs):
    tokenizer, _ = pairs["chatml"]
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    prompt = tokenizer.render_chat([{"role": "user", "content": parts}])
    assert prompt == tokenizer.render_chat([{"role": "user", "content": "one\ntwo"}])


def test_refusal_of_a_template_names_its_reason(pairs):
    tokenizer, _ = pairs["mistral"]
    with pytest.raises(RequestError, match="roles must alternate") as info:
        tokenizer.render_chat([SHORT[0], SHORT[0]])
    assert info.value.param == "messages"


def test_continuing_what_the_template_hides_is_refused():
    template = ChatTemplate("{{ messages[0].role }}")
    with pytest.raises(RequestError, match="does not show the last message"):
        template.render(PlannedChat("default", SHORT, continue_final_message=True))
    with pytest.raises(RequestError, match="a last message with content"):
        template.render(
            PlannedChat("default", [{"role": "assistant"}], continue_final_message=True)
        )


def test_chat_without_a_template_is_refused(tmp_path):
    tokenizer = load_tokenizer(save_model_directory(tmp_path, byte_level_backend()))
    assert not tokenizer.has_chat_template
    with pytest.raises(RequestError, match="no chat template"):
        tokenizer.encode_chat(SHORT)


def test_surrogate_in_a_message_is_refused(pairs):
    with pytest.raises(RequestError, match="lone surrogate"):
        pairs["chatml"][0].encode_chat([{"role": "user", "content": "a\ud800"}])


def run(source, **variables):
    return ChatTemplate(source).render(PlannedChat("default", SHORT, variables=variables))


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ messages.__class__.__init__.__globals__ }}",
        "{{ raise_exception.__globals__['json'] }}",
        "{{ namespace.__init__ }}{{ namespace(__class__=1) }}",
        "{% set ns = namespace() %}{% set ns._x = 1 %}",
        "{{ messages.append(1) }}",
        "{{ messages[0].update(role='x') }}",
        "{{ messages[0].clear() }}",
        "{{ lipsum(n=100) }}",
        "{{ cycler.__init__.__globals__.os }}",
        "{{ '{0.__class__.__mro__}'.format(1).x }}",
        "{% include 'x' %}",
        "{{ missing.attribute }}",
        "{{ 1 // 0 }}",
        "{{ messages['x'].y }}",
        "{{ 'a' + 1 }}",
        "{% for i in range(100001) %}{% endfor %}",
        "{{ 'a' * 10000000 }}",
        "{{ 10000000 * [1] }}",
        "{{ 10 ** 1000000 }}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{{ undefined_function() }}",
        "{{ tojson }}{{ messages | tojson(indent={}) }}",
    ],
)
def test_what_a_template_must_not_do_fails_the_request_alone(source):
    with pytest.raises(RequestError) as info:
        run(source)
    assert info.value.param == "messages"
    assert SHORT == [{"role": "user", "content": "  Hi there \n"}]


def test_format_shows_no_internals():
    assert "class" not in run("{{ '{0.__class__}'.format(1) }}{{ '%s' | format(1) }}")


def test_size_of_a_prompt_is_bounded(monkeypatch):
    monkeypatch.setattr(chat_template, "MAX_PROMPT_CHARS", 1000)
    assert len(run("{% for i in range(10) %}{{ 'a' * 100 }}{% endfor %}")) == 1000
    with pytest.raises(RequestError, match="more than 1000 characters"):
        run("{% for i in range(100000) %}{{ 'a' * 100 }}{% endfor %}")


@pytest.mark.parametrize("source", ["{% for %}", "{{ ", "{% unknown %}", "{% generation %}"])
def test_a_template_that_is_not_jinja_is_a_fault_of_the_model(source):
    with pytest.raises(ModelLoadError, match="not valid Jinja"):
        ChatTemplate(source)


def test_requests_cannot_override_what_the_renderer_sets():
    template = ChatTemplate("{{ tools }}{{ add_generation_prompt }}{{ messages | length }}")
    shown = template.render(
        PlannedChat("default", SHORT, variables={"tools": 1, "messages": [], "documents": 2})
    )
    assert shown == "NoneTrue1"

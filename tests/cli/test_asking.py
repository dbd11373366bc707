from sglite.cli.asking import Asker
from sglite.request import SamplingParams
from tests.cli.fakes import FakeLLM


def test_chat_prompt_becomes_a_conversation_with_the_system_message_first():
    asker = Asker(FakeLLM(), SamplingParams(), is_chat=True, system="s")
    assert asker.messages("p") == [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "p"},
    ]
    assert [each.text for each in asker.answer_all(["a", "b"])] == ["echo a", "echo b"]


def test_plain_prompt_goes_as_it_is_and_a_single_answer_becomes_a_list():
    llm = FakeLLM()
    generate = llm.generate
    llm.generate = lambda *args, **options: generate(*args, **options)[0]
    asker = Asker(llm, SamplingParams(), is_chat=False)
    assert [each.text for each in asker.answer_all(["a"])] == ["echo a"]
    assert "".join(chunk.text for chunk in asker.stream("a")) == "echo a"

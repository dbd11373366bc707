import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from sglite.embedded import EMBEDDED_MODEL_DIR
from sglite.errors import ConfigError, ModelLoadError
from sglite.models.hub import (
    ALLOW_PATTERNS,
    HubUnreachableError,
    download_from_huggingface,
    download_from_modelscope,
    resolve_model_directory,
)


class FakeHub:
    """A hub that answers with a directory or raises, and remembers what it was asked."""

    def __init__(self, answer):
        self.answer = answer
        self.asked = []

    def __call__(self, model, revision):
        self.asked.append((model, revision))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def hubs(huggingface="/hf", modelscope="/ms"):
    return {"huggingface": FakeHub(huggingface), "modelscope": FakeHub(modelscope)}


def test_a_local_directory_asks_no_hub(tmp_path):
    downloads = hubs()
    for model in (tmp_path, str(tmp_path)):
        assert resolve_model_directory(model, downloads=downloads) == tmp_path
    assert not downloads["huggingface"].asked


def test_no_model_is_the_embedded_one():
    assert resolve_model_directory(None, downloads=hubs()) == EMBEDDED_MODEL_DIR


def test_an_id_is_asked_at_its_source_with_its_revision():
    downloads = hubs()
    found = resolve_model_directory("Qwen/Qwen3-0.6B", revision="v1", downloads=downloads)
    assert found == Path("/hf")
    assert downloads["huggingface"].asked == [("Qwen/Qwen3-0.6B", "v1")]
    assert not downloads["modelscope"].asked
    found = resolve_model_directory("org/name", source="modelscope", downloads=downloads)
    assert found == Path("/ms")


def test_modelscope_is_asked_when_hugging_face_cannot_be_reached():
    downloads = hubs(huggingface=HubUnreachableError("no route"))
    assert resolve_model_directory("org/name", revision="v1", downloads=downloads) == Path("/ms")
    assert downloads["modelscope"].asked == [("org/name", "v1")]


def test_modelscope_is_not_asked_for_a_model_that_hugging_face_does_not_have():
    downloads = hubs(huggingface=ModelLoadError("no such model"))
    with pytest.raises(ModelLoadError, match="no such model"):
        resolve_model_directory("org/name", downloads=downloads)
    assert not downloads["modelscope"].asked


def test_both_causes_are_told_where_both_hubs_fail():
    downloads = hubs(HubUnreachableError("no route"), HubUnreachableError("no answer"))
    with pytest.raises(ModelLoadError, match="no route; no answer; a local directory"):
        resolve_model_directory("org/name", downloads=downloads)
    downloads = hubs(HubUnreachableError("no route"), ConfigError("pip install it"))
    with pytest.raises(ConfigError, match="no route; pip install it"):
        resolve_model_directory("org/name", downloads=downloads)


@pytest.mark.parametrize("model", ["/no/such/dir", "./models", "a/b/c", "../x", "", "a b", "x\\y"])
def test_what_is_neither_a_directory_nor_an_id_asks_no_hub(model):
    downloads = hubs()
    with pytest.raises(ModelLoadError, match="does not exist"):
        resolve_model_directory(model, downloads=downloads)
    assert not downloads["huggingface"].asked


@pytest.fixture
def snapshot_calls(monkeypatch):
    """huggingface_hub and modelscope whose downloads are recorded and answer with ``answer``."""
    calls = SimpleNamespace(seen=[], answer="/cache/snapshot")

    def snapshot_download(model, **options):
        calls.seen.append((model, options))
        if isinstance(calls.answer, Exception):
            raise calls.answer
        return calls.answer

    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    module = ModuleType("modelscope")
    module.snapshot_download = snapshot_download
    monkeypatch.setitem(sys.modules, "modelscope", module)
    return calls


@pytest.mark.parametrize("download", [download_from_huggingface, download_from_modelscope])
def test_all_files_come_at_one_revision_and_no_code_comes(snapshot_calls, download):
    assert download("org/name", "abc") == "/cache/snapshot"
    [(model, options)] = snapshot_calls.seen
    assert (model, options["revision"]) == ("org/name", "abc")
    assert options["allow_patterns"] == ALLOW_PATTERNS
    assert not any(pattern.endswith((".py", ".bin", "*")) for pattern in ALLOW_PATTERNS)


def hub_error(name):
    """An error of huggingface_hub without the HTTP response that its constructor wants."""
    from huggingface_hub import errors

    error_class = getattr(errors, name)
    error = error_class.__new__(error_class)
    error.args = ("404 with\ntwo lines",)
    return error


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("RepositoryNotFoundError", "no such model"),
        ("RevisionNotFoundError", "no revision 'v9'"),
        ("GatedRepoError", "is gated"),
    ],
)
def test_what_hugging_face_refuses_is_said_in_one_line(snapshot_calls, name, cause):
    snapshot_calls.answer = hub_error(name)
    with pytest.raises(ModelLoadError, match=cause) as caught:
        download_from_huggingface("org/name", "v9")
    assert not isinstance(caught.value, HubUnreachableError)
    assert "\n" not in str(caught.value)


def connection_errors():
    from huggingface_hub.errors import LocalEntryNotFoundError

    return [OSError("no route"), ConnectionError("refused"), LocalEntryNotFoundError("offline")]


@pytest.mark.parametrize("error", connection_errors(), ids=lambda error: type(error).__name__)
def test_no_answer_means_unreachable(snapshot_calls, error):
    snapshot_calls.answer = error
    for download in (download_from_huggingface, download_from_modelscope):
        with pytest.raises(HubUnreachableError, match="org/name"):
            download("org/name", None)


def test_a_broken_proxy_means_unreachable_too(snapshot_calls):
    from huggingface_hub.errors import HTTPError

    snapshot_calls.answer = HTTPError("proxy")
    with pytest.raises(HubUnreachableError, match="proxy"):
        download_from_huggingface("org/name", None)


def test_a_malformed_id_and_an_error_of_modelscope_are_one_line(snapshot_calls):
    snapshot_calls.answer = ValueError("bad id\nmore")
    with pytest.raises(ModelLoadError, match=r"bad id$"):
        download_from_huggingface("a--b", None)
    snapshot_calls.answer = KeyError("NotExist")
    with pytest.raises(ModelLoadError, match="ModelScope did not give 'a/b'"):
        download_from_modelscope("a/b", None)


def test_a_missing_client_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "modelscope", None)
    with pytest.raises(ConfigError, match=r"pip install 'sglite\[modelscope\]'"):
        download_from_modelscope("org/name", None)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ConfigError, match="huggingface_hub"):
        download_from_huggingface("org/name", None)

import json

import pytest

from sglite.make_model.whole_file import whole_file, write_json


def test_file_appears_when_it_is_done(tmp_path):
    path = tmp_path / "a"
    with whole_file(path) as unfinished:
        unfinished.write_text("new")
        assert not path.exists() and unfinished.parent == tmp_path
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError("full"), KeyboardInterrupt()])
def test_what_was_interrupted_leaves_the_file_as_it_was(tmp_path, error):
    path = tmp_path / "a"
    path.write_text("old")
    with pytest.raises(type(error)), whole_file(path) as unfinished:
        unfinished.write_text("ne")
        raise error
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_json_is_indented_and_keeps_letters(tmp_path):
    write_json(tmp_path / "a", {"ü": 1}, indent=1)
    text = (tmp_path / "a").read_text(encoding="utf-8")
    assert text == '{\n "ü": 1\n}\n' and json.loads(text) == {"ü": 1}

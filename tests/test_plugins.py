"""A part's own file: what is wrong in it is told in one line, with the place."""

import sys

import pytest

import bkdsnn.methods
from bkdsnn import plugins
from bkdsnn.errors import InputError

WHOLE = """from bkdsnn.methods import ce
class Settings(ce.Settings):
    pass
class Method:
    needs_teacher = False
"""


@pytest.fixture
def load(tmp_path, monkeypatch):
    """`load(text)`: the method `own_at` whose file has that text."""
    folder = tmp_path / "methods"
    folder.mkdir()
    monkeypatch.setattr(plugins, "__file__", str(tmp_path / "plugins.py"))
    monkeypatch.setattr(bkdsnn.methods, "__path__", [*bkdsnn.methods.__path__, str(folder)])
    monkeypatch.delattr(bkdsnn.methods, "own_at", raising=False)

    def load(text: str):
        (folder / "own_at.py").write_text(text)
        return plugins.load("method", "own_at")

    yield load
    sys.modules.pop("bkdsnn.methods.own_at", None)


def test_a_whole_file_is_loaded(load):
    assert load(WHOLE).Method.needs_teacher is False


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (WHOLE.replace("class Method", "class Methd"), "own_at.py: has no class Method; a method has Settings and"),
        (WHOLE.replace("class Settings", "class S"), "own_at.py: has no class Settings; a method has Settings and"),
        (WHOLE.replace("ce.Settings", ""), "own_at.py: Settings is no pydantic model: class Settings(BaseModel), or a"),
        (WHOLE.replace("needs_", "need_"), "own_at.py: Method has no needs_teacher: wanted True or False"),
        (f"import sys\nimport einopsy\n{WHOLE}", "own_at.py:2: ModuleNotFoundError: No module named 'einopsy'"),
        (f"{WHOLE}\nheight = widht", "own_at.py:7: NameError: name 'widht' is not defined"),
        (f"{WHOLE}\nclass Method(:", "own_at.py: SyntaxError: invalid syntax (own_at.py, line 7)"),
    ],
)
def test_what_is_wrong_in_it_is_told_in_one_line(load, text, line):
    with pytest.raises(InputError) as told:
        load(text)
    assert str(told.value).startswith(line)
    assert "\n" not in str(told.value)


def test_a_full_disk_is_not_the_files_fault(load):
    with pytest.raises(OSError, match="No space left on device"):
        load("import errno\nraise OSError(errno.ENOSPC, 'No space left on device')\n")

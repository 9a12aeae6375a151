"""`featlab plugin new`: what it writes, and what it refuses, without a trace."""

import ast
import json
import re
import tomllib

import pytest

from featlab import scaffold
from featlab.cli import main

KINDS = sorted(scaffold.FILES)


def call(capsys, *arguments):
    with pytest.raises(SystemExit) as leave:
        main(list(map(str, arguments)))
    said = capsys.readouterr()
    return leave.value.code, said.out, said.err


@pytest.mark.parametrize("kind", KINDS)
def test_a_plugin_is_complete(kind, tmp_path, capsys):
    status, out, _ = call(capsys, "plugin", "new", "two-words", f"--{kind}", "--out", tmp_path, "--json")
    assert status == 0
    folder = tmp_path / "two-words"
    written = json.loads(out)
    assert written["folder"] == str(folder)
    assert sorted(written["files"]) == sorted(str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file())
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["name"] == "two-words"
    assert project["entry-points"]["featlab"] == {"two-words": "two_words"}
    for name in ("README.md", ".gitignore", "src/two_words/__init__.py", "tests/test_two_words.py"):
        assert (folder / name).stat().st_size > 0, name
    for path in folder.rglob("*"):
        if path.is_file():
            assert not re.search(r"\{\{|\{%", path.read_text()), path
        if path.suffix == ".py":
            ast.parse(path.read_text())
    assert list(tmp_path.iterdir()) == [folder], "nothing unfinished is left"


@pytest.mark.parametrize("kind", KINDS)
def test_the_module_of_the_hooks_is_light(kind, tmp_path):
    folder = scaffold.write("two-words", kind=kind, out=tmp_path)
    tree = ast.parse((folder / "src" / "two_words" / "__init__.py").read_text())
    imported = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    assert imported == ["featlab"]
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]


def test_a_threat_model_is_what_is_written_unless_told(tmp_path, capsys):
    status, out, _ = call(capsys, "plugin", "new", "mine", "--out", tmp_path / "a" / "b")
    assert status == 0
    assert (tmp_path / "a" / "b" / "mine" / "src" / "mine" / "models.py").exists()
    assert "featlab plugin check mine" in out


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("Demo", "the name of a plugin is words of lower-case letters and digits with '-' between them"),
        ("demo_set", "such as demo-set; got 'demo_set'"),
        ("../demo", "got '../demo'"),
        ("3d", "got '3d'"),
        ("demo-", "got 'demo-'"),
        ("class", "'class' is a word of Python"),
        ("json", "'json' is a word of Python"),
        ("torch", "a module 'torch' is installed already"),
        ("linf", "plugin threat_models (featlab "),
    ],
)
def test_a_name_that_cannot_be_is_one_sentence(name, sentence, tmp_path, capsys):
    status, out, err = call(capsys, "plugin", "new", name, "--out", tmp_path / "new")
    assert (status, out) == (2, "")
    assert sentence in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "new").exists()


def test_a_name_is_free_where_entries_of_its_kind_have_others(tmp_path):
    assert scaffold.write("linf", kind="task", out=tmp_path).is_dir()


def test_nothing_is_written_over(tmp_path, capsys):
    (tmp_path / "demo-set").mkdir()
    (tmp_path / "demo-set" / "mine.txt").write_text("mine")
    status, _, err = call(capsys, "plugin", "new", "demo-set", "--out", tmp_path)
    assert status == 2
    assert "demo-set is there already; remove it" in err
    assert [path.name for path in tmp_path.rglob("*")] == ["demo-set", "mine.txt"]


def test_two_kinds_at_once_are_refused(tmp_path, capsys):
    status, _, err = call(capsys, "plugin", "new", "demo-set", "--task", "--kernel", "--out", tmp_path)
    assert status == 2
    assert "a plugin begins as one kind; got --task and --kernel" in err
    assert not list(tmp_path.iterdir())


def test_what_fails_on_the_way_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setitem(scaffold.FILES["task"], "tests/test_{module}.py/deeper", "task.py")  # A file is no folder.
    with pytest.raises(OSError, match=r"test_demo_set\.py"):
        scaffold.write("demo-set", kind="task", out=tmp_path)
    assert list(tmp_path.iterdir()) == []

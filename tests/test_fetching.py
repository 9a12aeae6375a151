"""Packages of pip and npm: fetched as the very files that are known, read without running anything in them."""

import hashlib

import pytest

from featlab import fetching
from featlab.fetching import Package, contents, first_that_works

from packed import archive

DATA = b"a package"
SHA = hashlib.sha256(DATA).hexdigest()


@pytest.mark.parametrize("name", ["a.whl", "a.tar.gz", "a.tgz"])
def test_contents_are_those_that_match_in_the_order_of_their_names(name, tmp_path):
    path = archive(tmp_path / name, {"p/b.bin": b"2", "p/a.bin": b"1", "p/c.txt": b"3", "q/a.bin": b"4"})
    assert list(contents(path, "p/*.bin").items()) == [("p/a.bin", b"1"), ("p/b.bin", b"2")]
    with pytest.raises(ValueError, match=r"a\..* holds no file \*\.pth"):
        contents(path, "*.pth")


@pytest.mark.parametrize(("kind", "file"), [("pip", "x-1.whl"), ("pip", "x-1.tar.gz"), ("npm", "x-1.tgz")])
def test_a_package_is_fetched_by_its_own_tool_and_compared(kind, file, tmp_path, monkeypatch):
    commands = []

    def run(*command, folder):
        commands.append(command)
        if "download" in command:  # pip itself is to refuse another file before a script in it can run.
            assert (folder / command[-1]).read_text() == f"x==1 --hash=sha256:{SHA}\n"
        (folder / file).write_bytes(DATA)

    monkeypatch.setattr(fetching, "run", run)
    assert Package(kind, "x", "1", SHA).fetch(tmp_path) == tmp_path / file
    wanted = {"--no-deps", "--require-hashes"} if kind == "pip" else {"--ignore-scripts", "x@1"}
    assert wanted <= set(commands[0])


def test_another_file_is_not_the_package(tmp_path):
    package = Package("pip", "x", "1", SHA)
    (tmp_path / "right").write_bytes(DATA)
    assert package.checked(tmp_path / "right") == tmp_path / "right"
    (tmp_path / "wrong").write_bytes(DATA + b"!")
    with pytest.raises(ValueError, match=r"wrong is not the pip package x 1: SHA-256 .* is not " + SHA[:12]):
        package.checked(tmp_path / "wrong")
    with pytest.raises(FileNotFoundError, match="no file"):
        package.checked(tmp_path / "none")


def test_the_first_mirror_that_works_is_taken_and_what_is_ours_to_mend_passes_through():
    def broken():
        raise OSError("no\nnetwork")

    def faulty():
        raise KeyError("bug")

    assert first_that_works("x", [("a", broken), ("b", lambda: None), ("c", faulty)], None) == ("b", ("a: no network",))
    with pytest.raises(KeyError):
        first_that_works("x", [("a", broken), ("c", faulty)], None)

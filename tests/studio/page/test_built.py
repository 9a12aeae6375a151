"""The shipped page is what its sources give."""

import hashlib
import re
import shutil
import subprocess

import pytest

from studio_page import ROOT

PAGE = ROOT / "featlab" / "studio" / "page"
BUILT = ROOT / "featlab" / "studio" / "static"


def hash_of_sources():
    """The hash that build.mjs writes: names and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for path in sorted(each for each in PAGE.iterdir() if each.suffix in {".ts", ".css", ".html", ".mjs", ".json"}):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


@pytest.mark.parametrize("name", ["index.html", "studio.css", "studio.js"])
def test_what_is_built_says_which_sources_it_was_built_from(name):
    (said,) = re.findall(r"sources ([0-9a-f]{64})", (BUILT / name).read_text(encoding="utf-8"))
    assert said == hash_of_sources(), "run make page"


def test_there_is_nothing_else():
    assert {path.name for path in BUILT.iterdir()} == {"index.html", "studio.css", "studio.js"}


@pytest.mark.skipif(
    not (shutil.which("node") and (PAGE / "node_modules" / "esbuild").is_dir()),
    reason="esbuild is not installed here; make page-check installs it",
)
def test_building_again_gives_the_same_bytes():
    done = subprocess.run(["node", PAGE / "build.mjs", "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_page_has_no_inline_script_or_style():
    """The content-security policy would refuse them, silently for a reader."""
    html = (BUILT / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=", html)

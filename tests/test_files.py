"""Files are whole or not there."""

import json

import pytest
import torch

from featlab.files import read_tensors, write_json, write_tensors, written_whole


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="halfway"), written_whole(path) as temporary:
        temporary.write_text("ne")
        raise RuntimeError("halfway")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_tensors_and_facts_come_back(tmp_path):
    path = tmp_path / "deep" / "t.safetensors"
    write_tensors(path, {"a": torch.arange(6).reshape(2, 3).T, "b": torch.ones(())}, {"why": "ünï"})
    tensors, facts = read_tensors(path)
    assert torch.equal(tensors["a"], torch.arange(6).reshape(2, 3).T)
    assert tensors["b"].item() == 1
    assert facts == {"why": "ünï"}


def test_missing_and_damaged_files_are_one_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file"):
        read_tensors(tmp_path / "none")
    (tmp_path / "bad").write_bytes(b"\x10\0\0\0\0\0\0\0{}")
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        read_tensors(tmp_path / "bad")


def test_json_has_no_nan(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x.json", {"a": float("nan")})
    assert not list(tmp_path.iterdir())
    write_json(tmp_path / "x.json", {"a": 1.5})
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": 1.5}

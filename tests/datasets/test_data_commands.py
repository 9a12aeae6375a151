"""`featlab data` and the format's part of `featlab dataset`."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from featlab.cli.data import data
from featlab.cli.dataset import dataset
from featlab.datasets import ConstructedWriter, open_constructed, open_data


def call(group, *arguments):
    result = CliRunner().invoke(group, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def build(path):
    writer = ConstructedWriter(
        path, recipe={"steps": 7}, provenance={"seed": 1}, total=9, shape=(3, 2, 2), classes="ab"
    )
    writer.write(range(9), torch.rand(9, 3, 2, 2), torch.arange(9) % 2)
    return writer.finish()


def test_list_says_what_is_here(tmp_path):
    (tmp_path / "cifar10").mkdir()
    rows = {row["name"]: row for row in json.loads(call(data, "list", "--root", tmp_path, "--json"))["data"]}
    assert {name: row["here"] for name, row in rows.items()} == {
        "fashion-mini": True,
        "fashion-mnist": False,
        "cifar10": True,
        "imagenet-foolbox": False,
        "imagenet-photos": False,
    }
    text = call(data, "list", "--root", tmp_path)
    assert "featlab data get fashion-mnist" in text
    assert "featlab data get cifar10" not in text
    assert "npz:PATH" in text


def test_show_reports_the_numbers_of_the_data(tmp_path):
    facts = json.loads(call(data, "show", "fashion-mini", "--count", 50, "--json", "--sheet", tmp_path / "s.png"))
    images, _ = open_data("fashion-mini", train=False, count=50).tensors()
    assert facts["count"] == 50
    assert facts["per_class"] == [5] * 10
    assert facts["mean"] == pytest.approx([images.double().mean().item()], abs=1e-12)
    assert facts["std"] == pytest.approx([images.double().std(correction=0).item()], abs=1e-12)
    assert facts["sha256"] == open_data("fashion-mini", train=False, count=50).sha256
    with Image.open(tmp_path / "s.png") as sheet:
        pixels = np.asarray(sheet)
    assert pixels.shape == (280, 280)
    selected = open_data("fashion-mini", train=False, count=50)
    first = selected.pixels[torch.nonzero(selected.labels == 3)[:1, 0]]
    assert np.array_equal(pixels[84:112, :28], first[0, 0].numpy())
    assert (pixels[:, 140:] == 255).all()


def test_show_in_words_and_of_the_training_part():
    text = call(data, "show", "fashion-mini", "--train", "--count", 10)
    assert "split       train" in text
    assert "Ankle boot" in text


def test_a_sheet_needs_pictures(tmp_path):
    maker = ConstructedWriter(tmp_path / "set", recipe={}, provenance={}, total=1, shape=(2, 2, 2), classes="ab")
    maker.write(range(1), torch.rand(1, 2, 2, 2), torch.tensor([0]))
    maker.finish()
    with pytest.raises(ValueError, match="1 or 3 channels"):
        call(data, "show", tmp_path / "set", "--sheet", tmp_path / "s.png")
    assert not (tmp_path / "s.png").exists()


def test_get_is_refused_for_what_needs_no_fetching_and_for_unknown_names():
    for name, words in (("fashion-mini", "comes with featlab"), ("fashion-mnits", "did you mean 'fashion-mnist'")):
        with pytest.raises(ValueError, match=words):
            call(data, "get", name)


def test_get_says_where_the_data_are(tmp_path, monkeypatch):
    from featlab.datasets import sources

    monkeypatch.setattr(sources, "get", lambda name, root, say: sources.Got(root / name, "m", ("n: no",)))
    facts = json.loads(call(data, "get", "cifar10", "--root", tmp_path, "--json"))
    assert facts == {"name": "cifar10", "folder": str(tmp_path / "cifar10"), "mirror": "m", "failures": ["n: no"]}
    assert "came from: m" in call(data, "get", "cifar10", "--root", tmp_path)


def test_info_verify_export_import(tmp_path):
    made = build(tmp_path / "set")
    facts = json.loads(call(dataset, "info", tmp_path / "set", "--json"))
    assert (facts["complete"], facts["count"], facts["recipe"]) == (True, 9, {"steps": 7})
    assert json.loads(call(dataset, "verify", tmp_path / "set", "--json"))["sha256"] == made.sha256
    files = json.loads(call(dataset, "export", tmp_path / "set", tmp_path / "out", "--json"))["files"]
    assert files == [str(tmp_path / "out" / name) for name in ("CIFAR_ims", "CIFAR_lab")]
    call(dataset, "import", tmp_path / "out", tmp_path / "again", "--classes", "a, b")
    again = open_constructed(tmp_path / "again")
    assert again.sha256 == made.sha256
    assert again.classes == ("a", "b")
    assert "recipe" in call(dataset, "info", tmp_path / "again")


def test_verify_finds_a_changed_shard(tmp_path):
    build(tmp_path / "set")
    shard = tmp_path / "set" / "shard-00000.safetensors"
    shard.write_bytes(shard.read_bytes()[:-1] + b"\xff")
    with pytest.raises(ValueError, match=shard.name):
        call(dataset, "verify", tmp_path / "set")
    call(dataset, "info", tmp_path / "set")


def test_the_commands_can_be_listed_without_torch():
    program = "import sys; import featlab.cli.data, featlab.cli.dataset; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False, cwd=".").returncode == 0

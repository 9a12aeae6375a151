"""Constructed sets on the disk: what is written is what is read, and every damage is noticed."""

import json
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from featlab.datasets.constructed import ConstructedWriter, open_constructed
from featlab.datasets.dataset import Dataset
from featlab.datasets.layout import INDEX, Index, read_index, shard_name, write_index

RECIPE = {"attack": "pgd", "steps": 7, "step_size": 0.1, "within": {"name": "l2", "eps": 0.5}}
PROVENANCE = {"source_model": "ab12", "threat_model": "l2:eps=0.5", "seed": 3, "versions": {"torch": "2.13"}}


def content(total, shape=(2, 3, 4), classes=3):
    generator = torch.Generator().manual_seed(total)
    images = torch.rand(total, *shape, generator=generator)
    return images, torch.randint(0, classes, (total,), generator=generator), torch.arange(total) * 2


def writer(path, total=10, shape=(2, 3, 4), **options):
    options = {"recipe": RECIPE, "provenance": PROVENANCE, "shard_rows": 4, "columns": ["source_index"], **options}
    return ConstructedWriter(path, total=total, shape=shape, classes=("a", "b", "c"), **options)


def fill(made, only=None):
    images, labels, index = content(made.plan.total, made.plan.shape)
    for rows in made.pending() if only is None else only:
        part = slice(rows.start, rows.stop)
        columns = {"source_index": index[part]} if made.plan.columns else {}
        made.write(rows, images[part], labels[part], columns=columns)
    return made


def build(path, **options):
    return fill(writer(path, **options)).finish()


@settings(max_examples=30, deadline=None)
@given(
    total=st.integers(1, 23),
    shard_rows=st.integers(1, 25),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4)),
    data=st.data(),
)
def test_round_trip(total, shard_rows, shape, data):
    images, labels, index = content(total, shape)
    asked = torch.tensor(data.draw(st.lists(st.integers(0, total - 1), max_size=9)), dtype=torch.int64)
    with tempfile.TemporaryDirectory() as folder:
        built = build(Path(folder) / "set", total=total, shape=shape, shard_rows=shard_rows)
        for found in (built, open_constructed(Path(folder) / "set")):
            assert torch.equal(found.images(asked), images[asked])
            assert torch.equal(found.labels, labels)
            assert torch.equal(found.columns["source_index"], index)
            assert found.facts == {"recipe": RECIPE, "provenance": PROVENANCE}
            assert found.classes == ("a", "b", "c")
        memory = Dataset(pixels=images, labels=labels, classes=("a", "b", "c"), name="memory")
        assert found.sha256 == memory.sha256  # However the images are spread over shards.


def test_images_are_mapped_and_cannot_change_the_file(tmp_path):
    data = build(tmp_path / "set")
    before = (tmp_path / "set" / shard_name(0)).read_bytes()
    data.pixels.parts[0].zero_()
    data.images(torch.arange(10)).zero_()
    assert (tmp_path / "set" / shard_name(0)).read_bytes() == before


def test_rows_outside_are_refused(tmp_path):
    data = build(tmp_path / "set")
    for row in (-1, 10):
        with pytest.raises(IndexError, match="between 0 and 9"):
            data.images(torch.tensor([row]))


def files_of(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_a_resumed_build_has_the_same_files_and_builds_only_what_is_missing(tmp_path):
    build(tmp_path / "whole")
    fill(writer(tmp_path / "parts"), only=[range(4, 8)])
    again = writer(tmp_path / "parts")
    assert again.pending() == (range(4), range(8, 10))
    assert again.done == 4
    fill(again).finish()
    assert files_of(tmp_path / "parts") == files_of(tmp_path / "whole")
    assert writer(tmp_path / "parts").pending() == ()


def test_several_writers_may_share_the_work(tmp_path):
    build(tmp_path / "alone")
    first, second = writer(tmp_path / "shared"), writer(tmp_path / "shared")
    fill(first, only=first.pending()[0::2])
    fill(second, only=second.pending()[0::2])  # What was pending then: one shard is left.
    second.finish()
    assert files_of(tmp_path / "shared") == files_of(tmp_path / "alone")


def test_an_unfinished_set_is_not_opened_and_not_declared_complete(tmp_path):
    made = fill(writer(tmp_path / "set"), only=[range(4)])
    with pytest.raises(ValueError, match="lacks 2 shards"):
        made.finish()
    with pytest.raises(ValueError, match="not complete; run the command"):
        open_constructed(tmp_path / "set")
    assert read_index(tmp_path / "set").complete is False


OTHERS = [
    ({"recipe": {**RECIPE, "steps": 8}}, "recipe.steps was 7 and is 8"),
    ({"recipe": {**RECIPE, "within": {"name": "l2", "eps": 1.0}}}, "recipe.within.eps was 0.5 and is 1.0"),
    ({"recipe": {**RECIPE, "new": True}}, "recipe.new was None and is True"),
    ({"provenance": {**PROVENANCE, "seed": 4}}, "provenance.seed was 3 and is 4"),
    ({"total": 11}, "total was 10 and is 11"),
    ({"shard_rows": 5}, "shard_rows was 4 and is 5"),
    ({"columns": []}, "columns was"),
]


@pytest.mark.parametrize(("change", "words"), OTHERS)
@pytest.mark.parametrize("finished", [True, False])
def test_another_recipe_in_the_same_folder_is_refused(change, words, finished, tmp_path):
    made = fill(writer(tmp_path / "set"))
    if finished:
        made.finish()
    before = files_of(tmp_path / "set")
    with pytest.raises(ValueError, match=words):
        writer(tmp_path / "set", **change)
    assert files_of(tmp_path / "set") == before


def test_equal_recipes_in_other_python_types_are_equal(tmp_path):
    writer(tmp_path / "set", recipe={"pair": (1, 2)})
    writer(tmp_path / "set", recipe={"pair": [1, 2]})


def flip(data, position):
    changed = bytearray(data)
    changed[position] ^= 1
    return bytes(changed)


DAMAGES = [
    (lambda file: file.unlink(), "is missing"),
    (lambda file: file.write_bytes(b""), "cut off or corrupt"),
    (lambda file: file.write_bytes(file.read_bytes()[:-1]), "cut off or corrupt"),
    (lambda file: file.write_bytes(file.read_bytes()[:40]), "cut off or corrupt"),
    (lambda file: file.write_bytes(flip(file.read_bytes(), -5)), "was changed"),
    (lambda file: file.write_bytes((file.parent / shard_name(0)).read_bytes()), "was changed"),
]


@pytest.mark.parametrize(("damage", "words"), DAMAGES)
def test_a_damaged_shard_is_named_and_only_it_is_built_again(damage, words, tmp_path):
    build(tmp_path / "set")
    whole = files_of(tmp_path / "set")
    damage(tmp_path / "set" / shard_name(1))
    with pytest.raises(ValueError, match=rf"{shard_name(1)}.*{words}.*run the command") as caught:
        open_constructed(tmp_path / "set")
    assert "\n" not in str(caught.value)
    again = writer(tmp_path / "set")
    assert again.pending() == (range(4, 8),)
    fill(again).finish()
    assert files_of(tmp_path / "set") == whole


def test_a_shard_of_another_set_is_noticed_even_without_verification(tmp_path):
    build(tmp_path / "set")
    build(tmp_path / "other", recipe={"other": 1})
    (tmp_path / "other" / shard_name(2)).replace(tmp_path / "set" / shard_name(2))
    with pytest.raises(ValueError, match=f"{shard_name(2)} .* belongs to another set"):
        open_constructed(tmp_path / "set", verify=False)


def edit(path, change):
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


ALTERATIONS = [
    (lambda index: index.write_text(index.read_text()[:-20]), "not whole JSON"),
    (lambda index: index.write_bytes(b"\xff\xfe"), "not whole JSON"),
    (lambda index: index.write_text("[]"), "does not describe"),
    (lambda index: index.write_text('{"format": "coco"}'), "does not describe"),
    (lambda index: edit(index, lambda v: v.update(version=2)), "format version 2"),
    (lambda index: edit(index, lambda v: v["plan"]["recipe"].update(steps=8)), "changed after it was written"),
    (lambda index: edit(index, lambda v: v["plan"]["classes"].reverse()), "changed after it was written"),
    (lambda index: edit(index, lambda v: v.update(checksum="0" * 64)), "changed after it was written"),
    (lambda index: edit(index, lambda v: v.pop("checksum")), "changed after it was written"),
    (lambda index: edit(index, lambda v: v.update(shards=v["shards"][:2])), "changed after it was written"),
]


@pytest.mark.parametrize(("alter", "words"), ALTERATIONS)
def test_an_altered_index_is_refused_by_reader_and_writer(alter, words, tmp_path):
    build(tmp_path / "set")
    alter(tmp_path / "set" / INDEX)
    for use in (open_constructed, writer):
        with pytest.raises(ValueError, match=words):
            use(tmp_path / "set")


def test_every_changed_byte_of_a_small_set_is_noticed(tmp_path):
    """Whatever byte is changed, opening fails; none is covered by no check."""
    folder = tmp_path / "set"
    build(folder, total=1, shape=(1, 1, 1), shard_rows=1)
    for file in sorted(folder.iterdir()):
        whole = file.read_bytes()
        for position in range(0, len(whole), 3):
            file.write_bytes(flip(whole, position))
            with pytest.raises((ValueError, FileNotFoundError)):
                open_constructed(folder)
        file.write_bytes(whole)
    assert len(open_constructed(folder)) == 1


def test_white_space_in_the_index_does_not_matter(tmp_path):
    build(tmp_path / "set")
    index = tmp_path / "set" / INDEX
    index.write_text(json.dumps(json.loads(index.read_text())))
    assert len(open_constructed(tmp_path / "set")) == 10


def test_what_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no dataset\.json"):
        open_constructed(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match="is a file"):
        writer(tmp_path / "file")
    with pytest.raises(ValueError, match=r"holds files but no dataset\.json"):
        writer(tmp_path)


BAD_ROWS = [
    (lambda i, s: (i * 2, s[0], {"source_index": s[1]}), r"\[0, 1\]"),
    (lambda i, s: (i / 0, s[0], {"source_index": s[1]}), r"\[0, 1\]"),
    (lambda i, s: (i.double(), s[0], {"source_index": s[1]}), "must be float32"),
    (lambda i, s: (i[:3], s[0], {"source_index": s[1]}), "must be float32 of shape"),
    (lambda i, s: (i, s[0] + 3, {"source_index": s[1]}), "between 0 and 2"),
    (lambda i, s: (i, s[0].float(), {"source_index": s[1]}), "int64"),
    (lambda i, s: (i, s[0], {}), "as planned"),
    (lambda i, s: (i, s[0], {"source_index": s[1], "more": s[1]}), "as planned"),
    (lambda i, s: (i, s[0], {"source_index": s[1].int()}), "int64"),
]


@pytest.mark.parametrize(("spoil", "words"), BAD_ROWS)
def test_bad_rows_are_refused_and_nothing_is_written(spoil, words, tmp_path):
    made = writer(tmp_path / "set")
    images, labels, index = (part[:4] for part in content(10))
    bad_images, bad_labels, columns = spoil(images, (labels, index))
    with pytest.raises(ValueError, match=words):
        made.write(range(4), bad_images, bad_labels, columns=columns)
    assert [file.name for file in (tmp_path / "set").iterdir()] == [INDEX]


def test_only_whole_shards_are_written(tmp_path):
    made = writer(tmp_path / "set")
    images, labels, index = content(10)
    with pytest.raises(ValueError, match="one shard"):
        made.write(range(2, 6), images[2:6], labels[2:6], columns={"source_index": index[2:6]})


BAD_PLANS = [
    ({"total": 0}, "at least one image"),
    ({"shard_rows": 0}, "at least one image"),
    ({"shape": (3, 4)}, "channels, height, width"),
    ({"shape": (0, 3, 4)}, "channels, height, width"),
    ({"columns": ["labels"]}, "other than images and labels"),
    ({"columns": ["a", "a"]}, "different names"),
    ({"recipe": {"x": float("nan")}}, "recipe must hold"),
    ({"recipe": {"x": torch.tensor(1)}}, "recipe must hold"),
    ({"provenance": {"x": Path("y")}}, "provenance must hold"),
]


@pytest.mark.parametrize(("change", "words"), BAD_PLANS)
def test_bad_plans_leave_no_folder(change, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        writer(tmp_path / "set", **change)
    assert not (tmp_path / "set").exists()


def test_an_index_that_lacks_entries_is_refused_though_its_checksum_is_right(tmp_path):
    made = writer(tmp_path / "set")
    write_index(tmp_path / "set", Index(plan=made.plan, complete=True, shards=[{}]))
    with pytest.raises(ValueError, match="not complete"):
        open_constructed(tmp_path / "set")


def test_verification_looks_at_values_even_if_all_hashes_are_right(tmp_path, monkeypatch):
    monkeypatch.setattr("featlab.datasets.constructed.check_images", lambda images: None)
    made = writer(tmp_path / "set", columns=[])
    for rows in made.pending():
        made.write(rows, torch.full((len(rows), 2, 3, 4), 1.5), torch.zeros(len(rows), dtype=torch.int64))
    made.finish()
    monkeypatch.undo()
    with pytest.raises(ValueError, match=rf"{shard_name(0)}.*\[0, 1\]"):
        open_constructed(tmp_path / "set")


def test_shards_are_plain_safetensors(tmp_path):
    build(tmp_path / "set")
    with safe_open(tmp_path / "set" / shard_name(2), framework="pt") as file:
        assert torch.equal(file.get_tensor("images"), content(10)[0][8:])

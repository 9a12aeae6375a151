"""Folders of pictures and .npz files, with what people keep in them."""

import numpy as np
import pytest
import torch
from PIL import Image

from featlab.datasets.local import open_folder, open_npz

NUMBERS = np.random.default_rng(0)


def picture(path, size=(6, 5), mode="RGB", seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (size[1], size[0]) + ((3,) if mode == "RGB" else ())
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


def test_pictures_by_class_in_the_order_of_names(tmp_path):
    wanted = [
        picture(tmp_path / "ant" / "b.png", seed=1),
        picture(tmp_path / "ant" / "deep" / "a.bmp", seed=2),
        picture(tmp_path / "bee" / "a.PNG", seed=3),
    ]
    data = open_folder(tmp_path, train=True)
    assert data.classes == ("ant", "bee")
    assert data.labels.tolist() == [0, 0, 1]
    assert data.split == "all"
    assert np.array_equal(data.pixels[torch.arange(3)].permute(0, 2, 3, 1).numpy(), np.stack(wanted))
    assert torch.equal(data.images(torch.tensor([2])), torch.from_numpy(wanted[2]).permute(2, 0, 1)[None] / 255)


def test_odd_files_are_left_out(tmp_path):
    picture(tmp_path / "ant" / "a.png")
    for name in ("notes.txt", ".DS_Store", "ant/Thumbs.db", "ant/.hidden.png", "ant/labels.csv", ".git/x.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("no picture")
    (tmp_path / "ant" / "folder.png").mkdir()
    data = open_folder(tmp_path, train=False)
    assert (len(data), data.classes) == (1, ("ant",))


def test_train_and_test_folders_share_the_training_classes(tmp_path):
    for part, kinds in (("train", "abc"), ("val", "abc")):
        for number, kind in enumerate(kinds):
            picture(tmp_path / part / kind / "x.png", seed=number + 10 * (part == "val"))
    train, test = (open_folder(tmp_path, train=train) for train in (True, False))
    assert (train.split, test.split) == ("train", "test")
    assert train.classes == test.classes == ("a", "b", "c")
    assert train.sha256 != test.sha256
    picture(tmp_path / "val" / "Aa" / "x.png")
    with pytest.raises(ValueError, match="'Aa'"):
        open_folder(tmp_path, train=False)


def test_pictures_of_different_size_need_one(tmp_path):
    picture(tmp_path / "a" / "1.png", size=(6, 5))
    picture(tmp_path / "a" / "2.png", size=(40, 20))
    with pytest.raises(ValueError, match=r"6 x 5 .* 40 x 20: .*\?size=64"):
        open_folder(tmp_path, train=True)
    data = open_folder(tmp_path, train=True, size=8)
    assert data.images(torch.arange(2)).shape == (2, 3, 8, 8)


def test_with_a_size_the_middle_square_is_kept(tmp_path):
    stripes = np.zeros((4, 12), dtype=np.uint8)
    stripes[:, 4:8] = 255
    (tmp_path / "a").mkdir()
    Image.fromarray(stripes).save(tmp_path / "a" / "wide.png")
    Image.fromarray(stripes.T.copy()).save(tmp_path / "a" / "high.png")
    data = open_folder(tmp_path, train=True, size=4, channels=1)
    assert torch.equal(data.images(torch.arange(2)), torch.ones(2, 1, 4, 4))


def test_grey_pictures_become_colour_and_colour_grey(tmp_path):
    grey = picture(tmp_path / "a" / "1.png", mode="L")
    colour = open_folder(tmp_path, train=True).pixels[torch.tensor([0])][0]
    assert torch.equal(colour, torch.from_numpy(grey).expand(3, -1, -1))
    assert open_folder(tmp_path, train=True, channels=1).shape == (1, 5, 6)


def write_deep(path):
    Image.fromarray(np.full((5, 6), 40_000, dtype=np.uint16)).save(path)


BAD_PICTURES = [
    (lambda path: path.write_text("no picture"), "named like a picture but is none"),
    (lambda path: path.write_bytes(b""), "named like a picture but is none"),
    (write_deep, "more than 8 bits"),
]


@pytest.mark.parametrize(("write", "words"), BAD_PICTURES)
def test_bad_pictures_are_named(write, words, tmp_path):
    picture(tmp_path / "a" / "1.png")
    write(tmp_path / "a" / "2.png")
    with pytest.raises(ValueError, match=rf"2\.png.*{words}"):
        open_folder(tmp_path, train=True)


def test_a_picture_that_is_cut_off_is_named_when_it_is_read(tmp_path):
    picture(tmp_path / "a" / "1.png", size=(60, 50))
    file = tmp_path / "a" / "1.png"
    file.write_bytes(file.read_bytes()[:2000])
    data = open_folder(tmp_path, train=True)
    with pytest.raises(ValueError, match=r"1\.png cannot be decoded"):
        data.images(torch.tensor([0]))


def test_folders_without_data(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder"):
        open_folder(tmp_path / "none", train=True)
    with pytest.raises(ValueError, match="it holds no folder"):
        open_folder(tmp_path, train=True)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty holds no picture"):
        open_folder(tmp_path, train=True)
    with pytest.raises(ValueError, match="channels"):
        open_folder(tmp_path, train=True, channels=4)
    with pytest.raises(ValueError, match="size"):
        open_folder(tmp_path, train=True, size=0)


BYTES = NUMBERS.integers(0, 256, (4, 3, 5, 6), dtype=np.uint8)
KINDS = np.array([0, 1, 2, 1])
LAYOUTS = [
    (BYTES, BYTES),
    (BYTES.transpose(0, 2, 3, 1), BYTES),
    (BYTES[:, 0], BYTES[:, :1]),
    (BYTES[:, :1], BYTES[:, :1]),
]


@pytest.mark.parametrize(("stored", "wanted"), LAYOUTS)
@pytest.mark.parametrize("names", [("images", "labels"), ("x", "y"), ("x_test", "y_test")])
def test_npz_layouts(stored, wanted, names, tmp_path):
    np.savez(tmp_path / "d.npz", **{names[0]: stored, names[1]: KINDS.astype(np.uint8)})
    data = open_npz(tmp_path / "d.npz", train=False)
    assert np.array_equal(data.pixels[torch.arange(4)].numpy(), wanted)
    assert data.labels.tolist() == KINDS.tolist()
    assert data.classes == ("0", "1", "2")
    assert data.split == ("test" if "test" in names[0] else "all")


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_npz_floats_and_names_of_classes(kind, tmp_path):
    images = (BYTES / 255).astype(kind)
    np.savez_compressed(tmp_path / "d.npz", x=images, y=KINDS[:, None], classes=np.array(["p", "q", "r", "s"]))
    data = open_npz(tmp_path / "d.npz", train=True)
    assert np.array_equal(data.images(torch.arange(4)).numpy(), images.astype(np.float32))
    assert data.classes == ("p", "q", "r", "s")


def test_both_parts_of_an_npz_have_the_classes_of_both(tmp_path):
    np.savez(tmp_path / "d.npz", x_train=BYTES, y_train=KINDS, x_test=BYTES[:1], y_test=np.array([0]))
    assert open_npz(tmp_path / "d.npz", train=False).classes == ("0", "1", "2")
    assert len(open_npz(tmp_path / "d.npz", train=True)) == 4


BAD_NPZ = [
    ({"x": BYTES}, "must hold arrays"),
    ({"x": BYTES, "labels": KINDS}, "must hold arrays"),
    ({"x": BYTES, "y": KINDS[:3]}, "one per image"),
    ({"x": BYTES, "y": KINDS / 2}, "whole numbers"),
    ({"x": BYTES, "y": KINDS - 1}, "between 0 and"),
    ({"x": BYTES, "y": KINDS, "classes": np.array(["p"])}, "between 0 and 0"),
    ({"x": BYTES.astype(np.int64), "y": KINDS}, "uint8 or floats"),
    ({"x": BYTES.astype(np.float32), "y": KINDS}, r"\[0, 1\]"),
    ({"x": np.full((4, 2, 2), np.nan), "y": KINDS}, r"\[0, 1\]"),
    ({"x": BYTES.reshape(4, -1), "y": KINDS}, "1 or 3 channels"),
    ({"x": NUMBERS.integers(0, 9, (4, 5, 6, 2)).astype(np.uint8), "y": KINDS}, "1 or 3 channels"),
    ({"x": BYTES, "y": np.array([{}, {}, {}, {}], dtype=object)}, "plain arrays"),
]


@pytest.mark.parametrize(("arrays", "words"), BAD_NPZ)
def test_bad_npz_files(arrays, words, tmp_path):
    np.savez(tmp_path / "d.npz", **arrays)
    with pytest.raises(ValueError, match=words) as caught:
        open_npz(tmp_path / "d.npz", train=True)
    assert "d.npz" in str(caught.value)


class Trap:
    def __reduce__(self):
        import os

        return os.mkdir, ("trapped",)


def test_a_pickle_in_an_npz_is_never_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "d.npz", x=BYTES, y=KINDS, extra=np.array([Trap()], dtype=object))
    with pytest.raises(ValueError, match="plain arrays"):
        open_npz(tmp_path / "d.npz", train=True)
    assert not (tmp_path / "trapped").exists()


def test_files_that_are_no_npz(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file"):
        open_npz(tmp_path / "none.npz", train=True)
    np.save(tmp_path / "one.npz.npy", BYTES)
    (tmp_path / "one.npz.npy").rename(tmp_path / "one.npz")
    (tmp_path / "text.npz").write_text("text")
    np.savez(tmp_path / "cut.npz", x=BYTES, y=KINDS)
    whole = (tmp_path / "cut.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    for name in ("one", "text", "cut"):
        with pytest.raises(ValueError, match=rf"{name}\.npz is no \.npz file"):
            open_npz(tmp_path / f"{name}.npz", train=True)

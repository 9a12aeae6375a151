"""Between thread and socket: one frame at a time, the newest, and the last word after it; what is kept is bounded."""

import asyncio
import io

import pytest
import torch
from PIL import Image

from featlab.report.pictures import to_png
from featlab.studio.frames import Sent, encoded, finite
from featlab.studio.mailbox import Mailbox
from featlab.studio.memory import Memory


def frame(number):
    return Sent({"number": number}, b"")


async def nothing_more(mailbox):
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(mailbox.next(), 0.02)


def test_the_newest_frame_waits_until_the_one_before_was_drawn():
    async def play():
        mailbox = Mailbox(["a"], asyncio.get_running_loop())
        assert mailbox.wants("a")
        mailbox.put("a", frame(0))
        assert (await mailbox.next()).header["number"] == 0
        assert not mailbox.wants("a")
        for number in (1, 2, 3):
            mailbox.put("a", frame(number))
        await nothing_more(mailbox)
        mailbox.acknowledged("a", -1)
        await nothing_more(mailbox)
        mailbox.acknowledged("a", 0)
        assert (await mailbox.next()).header["number"] == 3

    asyncio.run(play())


def test_models_do_not_wait_for_each_other_and_words_come_after_last_frames():
    async def play():
        mailbox = Mailbox(["a", "b"], asyncio.get_running_loop())
        for model in ("a", "b"):
            mailbox.put(model, frame(0))
            await mailbox.next()
        mailbox.finish("a", frame(5), {"said": "a"})
        mailbox.finish("b", frame(6), {"said": "b"})
        await nothing_more(mailbox)
        mailbox.acknowledged("b", 0)
        assert (await mailbox.next()).header["number"] == 6
        assert await mailbox.next() == {"said": "b"}
        await nothing_more(mailbox)
        mailbox.acknowledged("a", 9)
        assert (await mailbox.next()).header["number"] == 5
        assert await mailbox.next() == {"said": "a"}
        mailbox.close()
        assert await mailbox.next() is None

    asyncio.run(play())


def test_a_failure_goes_before_everything():
    async def play():
        mailbox = Mailbox(["a"], asyncio.get_running_loop())
        mailbox.put("a", frame(0))
        mailbox.fail({"why": "it broke"})
        assert await mailbox.next() == {"why": "it broke"}
        await nothing_more(mailbox)

    asyncio.run(play())


def test_a_thread_that_outlives_the_server_is_no_fault():
    async def make():
        return Mailbox(["a"], asyncio.get_running_loop())

    mailbox = asyncio.run(make())
    mailbox.put("a", frame(0))
    mailbox.close()


def test_what_was_not_asked_for_longest_is_forgotten_first():
    memory = Memory(10, len)
    for name in ("aaaa", "bbbb"):
        memory.keep(name[0], name)
    assert memory.get("a") == "aaaa"
    memory.keep("c", "cccc")
    assert (memory.get("a"), memory.get("b"), memory.get("c")) == ("aaaa", None, "cccc")
    memory.keep("c", "cc")
    assert memory.held == 6
    memory.keep("d", "d" * 11)  # It does not fit at all.
    assert memory.get("d") is None
    assert memory.held <= 10


def test_small_and_last_frames_are_exact_and_large_ones_quick():
    small, large = (
        torch.rand(1, 1, 28, 28),
        torch.nn.functional.interpolate(torch.rand(1, 3, 7, 7), 224, mode="bicubic"),
    )
    large = large.clamp(0, 1)
    assert encoded(small, last=False) == ("png", to_png(small))
    assert encoded(large, last=True) == ("png", to_png(large))
    kind, file = encoded(large, last=False)
    assert kind == "jpeg"
    shown = torch.tensor(list(Image.open(io.BytesIO(file)).tobytes())).reshape(224, 224, 3).permute(2, 0, 1) / 255
    assert float((shown - large[0]).abs().mean()) < 0.02
    assert encoded(large[:, :1], last=False)[0] == "jpeg"
    assert finite(float("nan")) is None
    assert finite(1.5) == 1.5

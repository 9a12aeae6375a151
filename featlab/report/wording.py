"""How numbers are written, everywhere the same: in the page, in its charts and in the terminal."""

from __future__ import annotations

from collections.abc import Mapping

from featlab.evaluation import Accuracy


def percent(share: float) -> str:
    """Return a share of 1 as per cent with one decimal."""
    return f"{share:.1%}"


def interval(found: Accuracy) -> str:
    """Return the 95 % interval in per cent, as words that stay on one line."""
    return f"{percent(found.low)} to {percent(found.high)}".replace(" ", "\N{NO-BREAK SPACE}")


def measured(found: Accuracy) -> str:
    """Return an accuracy with its 95 % interval."""
    return f"{percent(found.accuracy)} ({interval(found)})"


def count(number: int) -> str:
    """Return a count with a thin space between thousands, as SI asks for."""
    return f"{number:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def duration(seconds: float) -> str:
    """Return a time in the two largest of h, min and s that it has."""
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{seconds:.1f} s" if seconds < 60 else f"{minutes} min {rest} s"


def memory(size: int) -> str:
    """Return bytes as GiB, or as MiB where it is less than one."""
    return f"{size / 2**30:.2f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"


def plain(value: object) -> str:
    """Return a value of a recipe as a person writes it, with every digit that it has."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    if isinstance(value, Mapping):
        parts = (f"({plain(each)})" if isinstance(each, Mapping) else plain(each) for each in value.values())
        return "; ".join(f"{key} {part}" for key, part in zip(value, parts)) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(plain(each) for each in value) or "none"
    return str(value) if value not in (None, "") else "none"

"""Laws: the named properties that a plugin must hold, and what became of each when it was asked."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from featlab.names import lookup

Law = Callable[[Any], None]
"""A function of a case that raises AssertionError where the case breaks it; its name is the law's, its docstring the
law itself in one sentence."""


class NotAsked(Exception):  # noqa: N818  # Nothing went wrong.
    """A law says with this that it does not apply to a case, and why."""


@dataclass(frozen=True)
class Verdict:
    """What became of one law: it held, was broken, was exempted by who asked, or did not apply."""

    law: str
    outcome: Literal["pass", "fail", "exempt", "skip"]
    reason: str = ""
    error: Exception | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.law}: {self.reason}" if self.reason else self.law


def name_of(law: Law) -> str:
    """Return the name by which a law is spoken of, such as project-idempotent."""
    return law.__name__.replace("_", "-")


def text_of(law: Law) -> str:
    """Return the law in one sentence."""
    return " ".join((inspect.getdoc(law) or "").partition("\n\n")[0].split())


class Trial:
    """Laws that are asked of case after case, each until it is broken."""

    def __init__(self, laws: Sequence[Law], exempt: Collection[str] = ()) -> None:
        self._laws = {name_of(law): law for law in laws}
        for name in exempt:
            lookup("a law to exempt", name, self._laws)
        self._verdicts = {name: Verdict(name, "exempt", "by request") for name in self._laws if name in exempt}

    def ask(self, case: object, laws: Iterable[Law] | None = None) -> None:
        """Ask these laws, or all, of a case; a law that is broken or exempt is not asked again."""
        for name in self._laws if laws is None else map(name_of, laws):
            before = self._verdicts.get(name)
            if before is None or before.outcome in {"pass", "skip"}:
                after = _asked(name, self._laws[name], case)
                self._verdicts[name] = before if before and after.outcome == "skip" else after

    def fail(self, error: Exception) -> None:
        """Note that there is no case to ask about, as making it raised an exception: the first law is broken."""
        first = next(iter(self._laws))
        self._verdicts.setdefault(first, Verdict(first, "fail", _told(error), error))

    @property
    def verdicts(self) -> list[Verdict]:
        """The laws that have been asked, in their order."""
        return [self._verdicts[name] for name in self._laws if name in self._verdicts]


def _asked(name: str, law: Law, case: object) -> Verdict:
    try:
        law(case)
    except NotAsked as reason:
        return Verdict(name, "skip", str(reason))
    except AssertionError as error:
        return Verdict(name, "fail", " ".join(str(error).split()), error)
    except Exception as error:  # A plugin may raise anything; that is its verdict.
        return Verdict(name, "fail", _told(error), error)
    return Verdict(name, "pass")


def _told(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def demand(verdicts: Sequence[Verdict]) -> None:
    """Raise AssertionError where a law is broken: the first one's name and reason, and the names of the others."""
    broken = [verdict for verdict in verdicts if verdict.outcome == "fail"]
    if broken:
        others = f" (broken too: {', '.join(each.law for each in broken[1:])})" if broken[1:] else ""
        raise AssertionError(f"{broken[0]}{others}") from broken[0].error


def same(rule: str, got: Tensor, wanted: Tensor, *, rtol: float = 0.0, atol: float = 0.0) -> None:
    """Assert that two tensors are equal up to rounding, and say which rule asks for it."""
    torch.testing.assert_close(got, wanted, rtol=rtol, atol=atol, msg=lambda details: f"{rule}: {details}")


@contextmanager
def unchanged(what: str, *arguments: Tensor) -> Iterator[None]:
    """Assert that the arguments are, bit for bit, what they were before."""
    before = [argument.clone() for argument in arguments]
    yield
    for argument, kept in zip(arguments, before, strict=True):
        assert torch.equal(argument, kept), f"{what} must not change its arguments"

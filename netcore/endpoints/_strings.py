"""The grammar of endpoint strings, apart from what any kind of endpoint makes of it.

::

    description = *( prefix *( ":" name "=" value ) ":" ) kind *( ":" argument )
    argument    = value | name "=" value        ; the first "=" divides; a value without name is positional

A backslash takes the next character literally, so that it divides nothing. Every mistake is a ValueError that begins
with the whole description. The work is linear in its length.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from math import isfinite

__all__ = ["Description", "Values", "parse", "quoteStringArgument"]

_MOST_PREFIXES = 8  # each is one more layer in every connection


def quoteStringArgument(argument: str) -> str:
    r"""*argument*, with backslashes where it takes them to stand in an endpoint string.

    >>> "tcp:80:interface=" + quoteStringArgument("::1")
    'tcp:80:interface=\\:\\:1'
    """
    return argument.replace("\\", "\\\\").replace(":", "\\:").replace("=", "\\=")


@dataclass(frozen=True, slots=True)
class Description:
    """An endpoint string, taken apart."""

    text: str
    kind: str
    positional: tuple[str, ...]
    named: dict[str, str]

    def mistake(self, what: str) -> ValueError:
        """The error that says *what* is wrong with this endpoint string."""
        return ValueError(f"endpoint string {self.text!r}: {what}")

    def bind(self, positional: Sequence[str], named_only: Sequence[str] = ()) -> Values:
        """Give the values their names, as a Python call would.

        Args:
            positional: what values without a name mean, in order; each may be given by name, too.
            named_only: what can only be given by name.
        Raises: ValueError: a value too many, a name that is unknown, or one given twice.
        """
        if len(self.positional) > len(positional):
            surplus = self.positional[len(positional)]
            raise self.mistake(
                f"{surplus!r} is one value too many: without a name come at most {', '.join(positional)}"
            )
        values = dict(zip(positional, self.positional, strict=False))
        known = (*positional, *named_only)
        for name, value in self.named.items():
            if name not in known:
                raise self.mistake(f"unknown argument {name!r}: {self.kind} takes {', '.join(known)}")
            if name in values:
                raise self.mistake(f"{name} is given twice")
            values[name] = value
        return Values(self, values)


@dataclass(frozen=True, slots=True)
class Values:
    """The values of an endpoint string by name, and how to read them."""

    description: Description
    given: dict[str, str]

    def text(self, name: str, default: str | None = None) -> str:
        """The value of *name*; without *default* it must be there and not be empty."""
        value = self.given.get(name, default)
        if value is None:
            raise self.description.mistake(f"{name} is missing")
        if not value and default is None:
            raise self.description.mistake(f"{name} is empty")
        return value

    def integer(self, name: str, low: int, high: int, default: int | None = None) -> int:
        """The value of *name* as a whole number from *low* to *high*, in decimal digits."""
        if default is not None and name not in self.given:
            return default
        text = self.text(name).strip(" ")
        # As many digits as the largest number has are enough; int() itself would also read "１０", "1_0" and "+10".
        if text.isascii() and text.isdecimal() and len(text) <= len(str(high)) and low <= int(text) <= high:
            return int(text)
        raise self.description.mistake(f"{name} must be a number from {low} to {high}, not {text!r}")

    def optional(self, name: str) -> str | None:
        """The value of *name*, which must not be empty; None if it is not there."""
        return self.text(name) if name in self.given else None

    def octal(self, name: str, high: int, default: int) -> int:
        """The value of *name* as a whole number up to *high*, in octal digits."""
        if name not in self.given:
            return default
        text = self.given[name]
        if text and len(text) <= len(f"{high:o}") + 1 and set(text) <= set("01234567") and int(text, 8) <= high:
            return int(text, 8)
        raise self.description.mistake(f"{name} must be an octal number up to {high:o}, such as 660, not {text!r}")

    def choice(self, name: str, choices: Iterable[str], default: str) -> str:
        """The value of *name*, one of *choices*."""
        value = self.given.get(name, default)
        if value not in choices:
            raise self.description.mistake(f"{name} is one of {', '.join(choices)}, not {value!r}")
        return value

    def seconds(self, name: str, default: float) -> float:
        """The value of *name* as a time, longer than none."""
        if name not in self.given:
            return default
        try:
            value = float(self.given[name])
        except ValueError:
            value = 0.0
        if value > 0 and isfinite(value):
            return value
        raise self.description.mistake(f"{name} must be a number of seconds above 0, not {self.given[name]!r}")


def parse(text: str, prefixes: Collection[str] = ()) -> tuple[list[Description], Description]:
    """Take an endpoint string apart.

    Args:
        prefixes: the kinds that go before another endpoint. Their own arguments have names and come first, as in
            ``haproxy:timeout=5:tcp:80``.
    Returns: the prefixes that are there, outermost first, and the endpoint that they go before.
    Raises:
        TypeError: not a string.
        ValueError: an escape at the very end, no kind, a name given twice, or too many prefixes.
    """
    if not isinstance(text, str):
        raise TypeError(f"an endpoint string is a str, not {type(text).__name__}")
    arguments = iter(_split(text))
    found: list[Description] = []
    kind = _kind(text, next(arguments), "")
    while kind in prefixes:
        if len(found) == _MOST_PREFIXES:
            raise Description(text, kind, (), {}).mistake(f"there are more than {_MOST_PREFIXES} prefixes")
        named: dict[str, str] = {}
        for name, value in arguments:
            if name is None:
                found.append(Description(text, kind, (), named))
                kind = _kind(text, (name, value), kind)
                break
            _add(Description(text, kind, (), named), name, value)
        else:
            raise Description(text, kind, (), {}).mistake(f"{kind} goes before another endpoint: {kind}:tcp:...")
    description = Description(text, kind, (), {})
    positional: list[str] = []
    for name, value in arguments:
        if name is None:
            positional.append(value)
        else:
            _add(description, name, value)
    return found, Description(text, kind, tuple(positional), description.named)


def _kind(text: str, argument: tuple[str | None, str], after: str) -> str:
    name, kind = argument[0], argument[1].lower()
    if name is not None or not kind:
        what = f"behind {after} comes" if after else "it must begin with"
        raise Description(text, kind, (), {}).mistake(f'{what} the kind of endpoint, as in "tcp:80"')
    return kind


def _add(description: Description, name: str, value: str) -> None:
    if name in description.named:
        raise description.mistake(f"{name} is given twice")
    description.named[name] = value


def _split(text: str) -> list[tuple[str | None, str]]:
    """The arguments of *text* with their names, escapes resolved."""
    arguments: list[tuple[str | None, str]] = []
    name: str | None = None
    current: list[str] = []
    characters = iter(text)
    for character in characters:
        if character == "\\":
            escaped = next(characters, None)
            if escaped is None:
                raise ValueError(f"endpoint string {text!r}: the backslash at the end escapes nothing")
            current.append(escaped)
        elif character == "=" and name is None:
            name = "".join(current)
            current.clear()
        elif character == ":":
            arguments.append((name, "".join(current)))
            name = None
            current.clear()
        else:
            current.append(character)
    arguments.append((name, "".join(current)))
    return arguments

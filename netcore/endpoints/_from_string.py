"""From an endpoint string to an endpoint: by a function for its kind, or by somebody else's plugin.

Every mistake that can be seen in the string is raised when it is read, naming the string: not when the service starts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from netcore.endpoints._plugins import PluginKind, names_of_plugins, plugin
from netcore.endpoints._strings import Description, parse

__all__ = ["Grammar", "file_mistakes"]

E = TypeVar("E")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Grammar(Generic[E]):
    """The endpoints of one direction, by their kinds.

    Attributes: *kinds*, what reads the arguments of each; *prefixes*, what puts one around another endpoint;
        *purpose*, what is done with them; *plugins*, where to look for others.
    """

    kinds: Mapping[str, Callable[[Any, Description], E]]
    prefixes: Mapping[str, Callable[[Any, Description, E], E]]
    purpose: str
    plugins: PluginKind

    def read(self, reactor: Any, text: str) -> E:
        """The endpoint that *text* tells of.

        Raises: ValueError: a mistake, which names *text*. TypeError: *text* is no string.
        """
        prefixes, description = parse(text, self.prefixes)
        endpoint = self._innermost(reactor, description)
        for prefix in reversed(prefixes):
            endpoint = self.prefixes[prefix.kind](reactor, prefix, endpoint)
        return endpoint

    def _innermost(self, reactor: Any, description: Description) -> E:
        kind = description.kind
        read = self.kinds.get(kind)
        if read is not None:
            return read(reactor, description)
        found = plugin(self.plugins, description)
        if found is None:
            known = ", ".join([*self.kinds, *self.prefixes, *names_of_plugins(self.plugins)])
            raise description.mistake(f"there is no {kind!r} to {self.purpose}, only {known}")
        made: E = found.endpoint(reactor)
        return made


def file_mistakes(description: Description, read: Callable[[], T]) -> T:
    """What *read* makes of files, descriptors or the environment that *description* is about.

    Raises: ValueError: the mistake that an OSError or ValueError tells of.
    """
    try:
        return read()
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise description.mistake(f"{type(error).__name__}: {error}") from error

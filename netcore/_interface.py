"""One declaration per interface: a `typing.Protocol` to type checkers, a zope Interface at run time.

An interface is an ordinary annotated class body::

    class ITransport(Interface):
        disconnecting: bool

        def write(self, data: bytes) -> None:
            '''Queue *data* for the peer.'''

Type checkers read it as a Protocol, so a wrong signature is an error where an object is *used* as the interface. At run
time methods become zope methods (without ``self``), annotations and properties become zope attributes, and everything
zope.interface offers works: ``verifyObject``, ``providedBy``, adapting by calling the interface.

Three rules keep the two readings equal, and tests hold them: an interface with a base interface repeats `Interface`
    among
its bases (else checkers see an ordinary class); implementers say so with `implementer`; and code that needs the
run-time view asks through `provides` and `adapt`, whose types checkers understand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeGuard, TypeVar

__all__ = ["Interface", "adapt", "implementer", "provides"]

T = TypeVar("T")
C = TypeVar("C", bound=type)

if TYPE_CHECKING:
    from typing import Protocol as Interface

    def implementer(*interfaces: type[Any]) -> Callable[[C], C]:
        """Declare that a class implements *interfaces*."""
        ...

else:
    from types import FunctionType

    from zope.interface import Attribute, implementer
    from zope.interface import Interface as _ZopeInterface
    from zope.interface.interface import InterfaceClass, fromFunction

    class _Declared(InterfaceClass):
        """Builds a zope interface out of an annotated class body."""

        def __init__(self, name, bases=(), attrs=None, __doc__=None, __module__=None):
            attrs = dict(attrs or {})
            for key in attrs.get("__annotations__", {}):
                attrs.setdefault(key, Attribute(key))
            for key, value in list(attrs.items()):
                if isinstance(value, property):
                    attrs[key] = Attribute(key, value.__doc__ or "")
                elif isinstance(value, FunctionType):
                    attrs[key] = fromFunction(value, imlevel=1, name=key)  # imlevel drops ``self``
            # Left by the typing machinery when a base was subscripted; zope would take them for attributes.
            attrs.pop("__orig_bases__", None)
            attrs.pop("__parameters__", None)
            super().__init__(name, bases, attrs, __doc__, __module__)

        def __getitem__(self, key):
            """``IThing[T]`` is for the checker alone; ``IThing["name"]`` is zope's own look-up."""
            return super().__getitem__(key) if isinstance(key, str) else self

    Interface = _Declared("Interface", (_ZopeInterface,), {}, __module__=__name__)


def provides(candidate: object, interface: type[T]) -> TypeGuard[T]:
    """Whether *candidate* declares that it provides *interface* (in `isinstance`'s order of arguments)."""
    return bool(interface.providedBy(candidate))  # type: ignore[attr-defined]  # zope's view


def adapt(candidate: object, interface: type[T]) -> T:
    """*candidate* itself if it provides *interface*, else what a registered adapter makes of it.

    The typed spelling of zope's ``interface(candidate)``.

    Raises: TypeError: *candidate* neither provides *interface* nor can be adapted to it.
    """
    return interface(candidate)  # type: ignore[call-arg]  # calling a zope interface adapts

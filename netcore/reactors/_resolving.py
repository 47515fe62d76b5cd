"""The part of a reactor that has to do with looking up names."""

from __future__ import annotations

from collections.abc import Sequence

from netcore.defer import Deferred, succeed
from netcore.interfaces import IHostnameResolver, IResolverSimple
from netcore.reactors._part import Part
from netcore.resolver import ComplexResolverSimplifier, GAIResolver, SimpleResolverComplexifier
from netcore.resolver._question import is_ipv4_literal

__all__ = ["Resolving"]


class Resolving(Part):
    """`IReactorPluggableResolver`, `IReactorPluggableNameResolver`, and ``resolve`` of `IReactorCore`.

    There are always two resolvers, of the two kinds, one of which asks the other: whichever was installed last is
    behind both.
    """

    _names: IHostnameResolver | None = None  # None: not asked for yet
    _simple: IResolverSimple | None = None

    def resolve(self, name: str, timeout: Sequence[int] = (1, 3, 11, 45)) -> Deferred[str]:
        """Look up the IPv4 address of *name*.

        Args:
            name: an address in dotted quads is its own; "" is "0.0.0.0".
            timeout: seconds, one for each try, for the resolver. The reactor's own tries once, and has the sum of them.
        Returns: Deferred firing with the address in dotted quads. Cancelling it ends the look-up.
        Raises: TypeError: *name* is no str. ReactorNotRunning: the reactor was disposed of.
        Fails with: netcore.error.DNSLookupError.
        """
        self._require_usable()
        if not isinstance(name, str):
            raise TypeError(f"the name of a host is a str, not {name!r}")
        if not name:
            return succeed("0.0.0.0")
        if is_ipv4_literal(name):
            return succeed(name)
        return self._simple_resolver().getHostByName(name, timeout)

    def installResolver(self, resolver: IResolverSimple) -> IResolverSimple:
        """Have *resolver* asked for every name, by ``connectTCP`` too (which then knows of IPv4 addresses only).

        Returns: the one that was asked before.
        """
        previous = self._simple_resolver()
        self._simple, self._names = resolver, SimpleResolverComplexifier(resolver)
        return previous

    @property
    def nameResolver(self) -> IHostnameResolver:
        """Who is asked for all addresses of a name: at first a `netcore.resolver.GAIResolver`."""
        if self._names is None:
            self._names = GAIResolver(self._whole)
        return self._names

    def installNameResolver(self, resolver: IHostnameResolver) -> IHostnameResolver:
        """Have *resolver* asked for every name.

        Returns: the one that was asked before.
        """
        previous = self.nameResolver
        self._names, self._simple = resolver, None
        return previous

    def _simple_resolver(self) -> IResolverSimple:
        if self._simple is None:
            self._simple = ComplexResolverSimplifier(self.nameResolver, self._whole)
        return self._simple

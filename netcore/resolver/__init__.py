"""Looking up the addresses of names: what a reactor asks (`GAIResolver`), and what can be put in its place.

    from netcore.resolver import CachingResolver
    reactor.installNameResolver(CachingResolver(reactor.nameResolver, reactor))

All of these answer for a literal address at once, without looking anything up. The look-ups that they return
(`interfaces.IHostResolution`) have, beside what the interface says, an attribute *error*: why nothing was found, where
that is known, else None. A resolver of one's own may give its look-ups one too: whoever asked by ``reactor.resolve`` or
``connectTCP`` is then told.

Threading: the reactor's thread only.
"""

from netcore.resolver._cache import CachingResolver
from netcore.resolver._gai import GAIResolver
from netcore.resolver._scripted import DictResolver
from netcore.resolver._simple import ComplexResolverSimplifier, SimpleResolverComplexifier, ThreadedResolver

__all__ = [
    "CachingResolver",
    "ComplexResolverSimplifier",
    "DictResolver",
    "GAIResolver",
    "SimpleResolverComplexifier",
    "ThreadedResolver",
]

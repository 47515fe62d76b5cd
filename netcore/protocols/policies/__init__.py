"""Wrappers, for any factory: what a service does with its connections besides talking.

They can be put around each other, and around TLS.
"""

from netcore.protocols.policies._wrapping import ProtocolWrapper, WrappingFactory

__all__ = ["ProtocolWrapper", "WrappingFactory"]

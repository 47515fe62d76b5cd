"""A TCP proxy that fails as networks do: `FaultyProxy` and `ReactorFaultyProxy`."""

from asyncdb.testing._proxy._faults import Faults
from asyncdb.testing._proxy._proxies import FaultyProxy, ReactorFaultyProxy

__all__ = ["Faults", "FaultyProxy", "ReactorFaultyProxy"]

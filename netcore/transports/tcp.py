"""TCP: connections, listening ports and connectors, as a reactor makes them."""

from netcore.transports._connect import Connector
from netcore.transports._connection import Connection
from netcore.transports._listen import Port

__all__ = ["Connection", "Connector", "Port"]

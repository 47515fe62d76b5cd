"""Services that listen, and services that connect."""

from netcore.application.internet._backoff import backoffPolicy
from netcore.application.internet._client import ClientService
from netcore.application.internet._listening import StreamServerEndpointService

__all__ = ["ClientService", "StreamServerEndpointService", "backoffPolicy"]

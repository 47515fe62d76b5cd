"""Applications: services that start and stop together, and the command that runs them.

`netcore.application.service` is the model, `netcore.application.internet` and `netcore.application.strports` connect it
to endpoints, `netcore.application.runner` is the ``netcore`` command.
"""

__all__: list[str] = []

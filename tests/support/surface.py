"""The public names of netcore and asyncdb with their signatures, one per line.

``python -m tests.support.surface > tests/unit/public_surface.txt`` renews the snapshot that a test compares with: a
change of what users see then shows in the diff, and is a decision.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from zope.interface.interface import InterfaceClass, Method

PACKAGES = ("netcore", "asyncdb")


def public_modules() -> Iterator[ModuleType]:
    """Every module of which no part of the name begins with an underscore."""
    for package in PACKAGES:
        root = importlib.import_module(package)
        yield root
        for found in pkgutil.walk_packages(root.__path__, f"{package}."):
            if not any(part.startswith("_") for part in found.name.split(".")):
                yield importlib.import_module(found.name)


def signature(callable_: Any) -> str:
    """The signature without annotations, which differ in spelling between Python versions."""
    try:
        told = inspect.signature(callable_)
    except (TypeError, ValueError):
        return "(...)"
    bare = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in told.parameters.values()]
    text = str(told.replace(parameters=bare, return_annotation=inspect.Signature.empty))
    return re.sub(r" at 0x[0-9a-f]+>", ">", text)  # of defaults that have no other name


def is_ours(cls: type[Any]) -> bool:
    return cls.__module__.partition(".")[0] in PACKAGES


def members(cls: type[Any], public: set[type[Any]]) -> Iterator[str]:
    """The public attributes and methods that *cls* defines, itself or through a base that is not *public*."""
    if dataclasses.is_dataclass(cls):
        for field in dataclasses.fields(cls):
            yield f"{field.name}: field"
    ours = [base for base in cls.__mro__ if base is cls or (is_ours(base) and base not in public)]
    for name, value in {name: value for base in reversed(ours) for name, value in vars(base).items()}.items():
        if name.startswith("_") and name != "__init__":
            continue
        if isinstance(value, (classmethod, staticmethod)):
            yield f"{name}{signature(value.__func__)} {type(value).__name__}"
        elif inspect.isfunction(value):
            if not (name == "__init__" and dataclasses.is_dataclass(cls)):
                yield f"{name}{signature(value)}"
        elif isinstance(value, property):
            yield f"{name}: property"


def promises(interface: InterfaceClass) -> Iterator[str]:
    """The attributes and methods that *interface* itself declares."""
    for name, value in interface.namesAndDescriptions():
        yield f"{name}{value.getSignatureString()}" if isinstance(value, Method) else f"{name}: attribute"


def surface() -> list[str]:
    """All lines, sorted. The members of a class stand once, at the deepest place it can be imported from."""
    lines = set()
    public = {
        value
        for module in public_modules()
        for name in module.__all__
        if inspect.isclass(value := vars(module).get(name))
    }
    told: set[type[Any]] = set()
    for module in sorted(public_modules(), key=lambda module: -module.__name__.count(".")):
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name) if name != "reactor" else None  # looking at it would make one
            path = f"{module.__name__}.{name}"
            if isinstance(value, InterfaceClass):
                lines.add(f"interface {path}")
                lines.update(f"{path}.{member}" for member in promises(value))
            elif inspect.isclass(value):
                lines.add(f"class {path}")
                if value not in told:
                    told.add(value)
                    lines.update(f"{path}.{member}" for member in members(value, public))
            elif callable(value):
                lines.add(f"{path}{signature(value)}")
            else:
                lines.add(path)
    return sorted(lines)


if __name__ == "__main__":
    print("\n".join(surface()))

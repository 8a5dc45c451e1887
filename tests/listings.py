"""Which lists does the API answer in pages?"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from relay import api
from relay.api.paging import Listing


def every() -> list[Listing]:
    """All there are, each once."""
    modules = [import_module(f"relay.api.{one.name}") for one in iter_modules(api.__path__)]
    found = {id(one): one for module in modules for one in vars(module).values() if isinstance(one, Listing)}
    return list(found.values())

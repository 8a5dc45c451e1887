"""What may be asked of the relay over HTTP?

`routes.py` has the one table of routes: `relay.api.routes.add_routes` puts it into an application, and
`openapi.py` into a document. A handler is given a `Call` (see `route.py`) whose caller is already proven
and allowed.
"""

from relay.api.routes import add_routes

__all__ = ["add_routes"]

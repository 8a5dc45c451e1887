"""What goes wrong on our side, and what should the caller do?

A partner's fault is a value (`relay.model.Outcome`); these are ours, and each class says in its
docstring what the caller should do.

    RelayError
    ├── ConfigError        the configuration: all problems at once
    ├── StoreError         the database
    │   ├── StoreUnavailable   not reachable, or restarting: 503, try again
    │   └── StoreFull          reachable, refuses writes: 503, the operator must act
    ├── VaultError         a sealed value that no key opens, or a key that is missing
    ├── SignatureError     a signed request that does not prove who sent it
    └── MessageError       a message that cannot be built: settled with a reason, never tried again
"""

from __future__ import annotations


class RelayError(Exception):
    """Something went wrong in the relay itself."""

    def __str__(self) -> str:
        return super().__str__() or (type(self).__doc__ or "").split("\n", 1)[0]


class ConfigError(RelayError):
    """The configuration does not allow a start. `problems` has one sentence each, with its key."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class StoreError(RelayError):
    """The database did not do what was asked."""


class StoreUnavailable(StoreError):
    """The database cannot be reached just now; what was asked may or may not have happened."""


class StoreFull(StoreError):
    """The database refuses writes (memory or disk); nothing was accepted."""


class VaultError(RelayError):
    """A sealed value cannot be opened: no key of the ring made it, or it was altered or moved."""


class SignatureError(RelayError):
    """A signature that does not prove who sent the request."""


class MessageError(RelayError):
    """A message that cannot be built from its template or data."""

"""How can anybody play a whole transfer without an account anywhere?

The sandbox plays the transfer systems themselves, beside the relay and outside of it: a process of its own
with an HTTP address of its own, which calls the relay as the real systems do, and is called as they are. The
relay knows nothing of it but addresses (`[sources.*]`).

Pure, given the time: `system` says what a system is (a `Model`: state, request and time to a `Step`: new
state, answer, calls that are owed, notes); `clock` is the sandbox's own time; `faults` are what every system
may be asked to do wrong; `desk` puts the three together for one system. With hands: `box` keeps one system in
the database and moves it on; `caller` makes the calls that are owed; `control` is the HTTP interface by which
a person drives the sandbox (`/sandbox/…`); `serve` runs all of it.

A system is one sub-package with a function `open_system(Place) -> System` (`mount`), listed in
`serve.SYSTEMS`: its API mounted at `/<name>`, what else a person may do in it under `/sandbox/<name>`.

    subscriptions/   `partner-center`: transfers of subscriptions
    sims/            `soracom`: transfers of SIMs

At a terminal it is driven by `relay.commands.sandbox` (`driving` gives a command the running sandbox).
"""

"""How is a whole transfer played, for somebody who watches?

A play is one life of one transfer: the sandbox's parties do what parties do, over the public APIs of their
systems; what the relay makes of it is watched over its own API. `lives` lists them, `subscriptions` and `sims`
play them, each on a `Stage`; `cast` sees to it that the partners are registered and listen; `watching` tells
what the relay does; `theatre` plays one at a time and answers under `/sandbox/plays`.
"""

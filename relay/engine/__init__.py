"""How does work get done once an event is on disk?

`fanout` turns accepted events into deliveries, `dispatch` finds the recipients that have something due,
`drain` sends what one recipient is owed, through one of the two `channels`. First tries, retries,
resends and replays all go this one way.
"""

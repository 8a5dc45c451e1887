"""How does a transfer's news get from the one who knows it to everybody it concerns?

    producer ─POST─> receive ──(one atomic, durable write)──> inbox          202
                                                                │ arq: fan_out     plan: who is told what
                                                                v
                                                one queue per recipient (endpoint or mailbox)
                                                                │ arq: deliver     what is due, many at a time
                                                                v
                                          webhook: one signed POST   email: one rendered message
                                                                │
                                                                v
                                         attempt, state, one log line ──> retry: again at T, or settled

Read in this order: `model` (the nouns); `lifecycle`, `plan`, `view`, `retry` (the decisions, pure);
`store` (the truth), `webhook`, `mail` (one attempt each); `engine` (the way of the work); `receive`, `api`
(the doors); `app` (how it is put together).
"""

__version__ = "0.1.0"

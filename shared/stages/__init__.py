"""Stages over HTTP: the same code as inline, with CloudEvents between the functions (contracts.md, "Events between functions").

| Module | What |
|---|---|
| `events` | the internal events: how they are written, read and proven |
| `hop` | the receiving side: a stage's answer to a POST of events |
| `calls` | the sending side: one stage's Service over kept connections, with deadlines and no retries |
| `groups` | what waits while calls are in flight is one batch; answers are released in the order of the questions |
| `check` | the check stage as a call |
| `route` | the route stage as a call: the Backbones port of a door |
| `rows` | log batches: packing and proof |
| `log_batch` | the log-batch stage as a call: the logger's `write` |
"""

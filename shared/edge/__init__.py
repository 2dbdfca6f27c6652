"""The ASGI edge every function is served by: authentication, errors, health, metrics, bounds, the request log line.

| Module | What |
|---|---|
| `app` | `Edge`: the ASGI app around a function; `WithEvents`: one with a fast path for POST /v1/events |
| `asgi` | the types, and answers as ASGI messages |
| `principals` | who asks: a bearer key to a principal |
| `problems` | errors as problem+json, for answers that are not a message's |
| `rest` | the FastAPI app of a REST function: the same errors, the same authentication |
| `body` | reading a request's body within bounds of size and time |
| `flight` | how much may be in flight; beyond it the answer is 429 |
| `framework` | functions-framework's ASGI app with an API beside the function |
| `hops` | answers to a Knative broker (`Prefer: reply`) |
| `later` | an app that is made with the first request for it |
| `lifespan` | running the start and stop of an app inside another |
| `lean_uvicorn` | uvicorn without what we don't use of it |
| `logs` | JSON lines, and the request's one wide line |
| `openapi` | one OpenAPI document of all functions, and its page |
| `metrics` | plain counters, and how Prometheus reads them |
| `one_write` | a response in one system call |
| `protocol` | uvicorn's HTTP/1.1 with bounds, and a short way for requests that come whole |
| `refusing` | what is answered to what is no HTTP/1.1, and the headers that every answer has |
| `whole` | what a request that comes whole is, and the whole answer to it |
| `server` | uvicorn as we run it: shared sockets and graceful shutdown |
"""

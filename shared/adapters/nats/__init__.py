"""NATS: publishing groups of messages to the backbones' streams, and reading them again. The only place that knows nats-py.

Its JetStream client, which it names in annotations that it doesn't evaluate, and in methods, runs when somebody asks for it: doors publish
with frames of our own and never do. aiohttp, which it takes where it is installed, is for backbones behind WebSocket URLs, which no
endpoint of ours has; the image `core` has none, but the Kubernetes client brings it.
"""

from shared.lean_import import lean

with lean(late=("nats.js",), left_out=("aiohttp", "multidict")):  # before any module of this package imports it
    import nats as nats

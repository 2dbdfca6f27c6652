"""NATS: publishing groups of messages to the backbones' streams, and reading them again. The only place that knows nats-py."""

from shared.adapters.nats.lean_import import import_nats

import_nats()  # before any module of this package does

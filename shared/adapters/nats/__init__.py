"""NATS: publishing groups of messages to the backbones' streams, and reading them again. The only place that knows nats-py."""

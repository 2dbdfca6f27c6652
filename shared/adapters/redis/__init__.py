"""Redis or Valkey: the log, its gates, and the feed. Keys and bytes: docs/internals.md; the reasons: log.md of the design."""

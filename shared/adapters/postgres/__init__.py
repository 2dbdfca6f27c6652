"""PostgreSQL, with TimescaleDB or without: the store of messages and of config. Its SQL is in sql/ and migrations/."""

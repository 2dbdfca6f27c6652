"""The `switchboard` command: one module a subcommand."""

-- The row's lock puts all changes of config in one order; it is held until the change commits.
UPDATE config_state SET revision = revision + 1, changed_at = now() RETURNING revision

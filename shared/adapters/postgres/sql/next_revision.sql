-- The row's lock puts all changes of config in one order; it is held until the change commits. Only then is it told of, too.
WITH next AS (UPDATE config_state SET revision = revision + 1, changed_at = now() RETURNING revision)
SELECT revision FROM next, pg_notify('switchboard_config', '')

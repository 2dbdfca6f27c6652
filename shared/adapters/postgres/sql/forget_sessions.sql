-- Signed out sessions that would have expired over an hour ago: nobody takes them anyway, so it is no matter that old revisions had them.
DELETE FROM config_versions WHERE kind = 'session' AND value::bigint < extract(epoch FROM clock_timestamp())::bigint - 3600

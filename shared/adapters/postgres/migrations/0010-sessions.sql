-- depends: 0009-repair
-- Sessions that were signed out are versions of kind `session`: path sessions/<SHA-256 of the key>/<id>, or without the id for all of the
-- key's until then; the value is when they would have expired (seconds since 1970). Every change forgets those that are over.
CREATE INDEX IF NOT EXISTS config_versions_sessions ON config_versions ((value::bigint)) WHERE kind = 'session';

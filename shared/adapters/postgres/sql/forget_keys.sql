-- The hashes of keys that were revoked over a day ago: no snapshot that can be asked for has them.
DELETE FROM config_versions
WHERE kind = 'key' AND until <= (SELECT max(revision) FROM config_revisions WHERE time < clock_timestamp() - interval '24 hours')

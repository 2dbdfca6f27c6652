-- The documents of an org as they were at a revision; without one, as they are.
SELECT path, value, since
FROM config_versions
WHERE kind = 'document' AND org = %(org)s AND (%(path)s::text IS NULL OR path = %(path)s)
    AND since <= coalesce(%(revision)s::bigint, 9223372036854775806) AND until > coalesce(%(revision)s::bigint, 9223372036854775806)
ORDER BY path

-- What is declared now, with what was reported of it.
SELECT v.kind, v.org, v.path, v.value, v.since, to_char(r.time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), s.status
FROM config_versions AS v
LEFT JOIN config_revisions AS r ON r.revision = v.since
LEFT JOIN registry_status AS s ON s.org = v.org AND s.path = v.path
WHERE v.kind IN ('cluster', 'backbone') AND v.until = 9223372036854775807
    AND (%(orgs)s::text[] IS NULL OR v.org = ANY(%(orgs)s)) AND (%(path)s::text IS NULL OR v.path = %(path)s)
ORDER BY v.org, v.path

-- Revisions that touched the org or everybody, newest first, with the bytes that what they did takes to tell.
SELECT r.revision, r.org, r.author, (extract(epoch FROM r.time) * 1000000)::bigint, r.action, r.path, r.reason, (
    SELECT coalesce(sum(octet_length(v.value)), 0)::bigint
    FROM config_versions AS v
    WHERE (v.since = r.revision OR v.until = r.revision) AND v.kind <> 'key'
)
FROM config_revisions AS r
WHERE (%(org)s::text IS NULL OR r.org IN ('', %(org)s))
    AND (%(path)s::text IS NULL OR r.path = %(path)s)
    AND (%(before)s::bigint IS NULL OR r.revision < %(before)s)
    AND (%(number)s::bigint IS NULL OR r.revision = %(number)s)
ORDER BY r.revision DESC
LIMIT %(limit)s

-- The lock keeps a deletion from coming between the look and the rows, and goes beside others like it. In order, as leases_hold.sql.
WITH locked AS (SELECT revision FROM config_state FOR SHARE)
INSERT INTO registry_status (org, path, status)
SELECT v.org, v.path, given.status
FROM unnest(%(orgs)s::text[], %(paths)s::text[], %(statuses)s::text[]) AS given (org, path, status)
JOIN config_versions AS v ON v.org = given.org AND v.path = given.path
CROSS JOIN locked
WHERE v.kind IN ('cluster', 'backbone') AND v.until = 9223372036854775807
ORDER BY v.org, v.path
ON CONFLICT (org, path) DO UPDATE SET status = excluded.status, changed_at = clock_timestamp()
RETURNING org, path

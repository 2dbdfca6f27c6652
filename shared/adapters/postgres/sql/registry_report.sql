-- The lock keeps a deletion from coming between the look and the row, and goes beside others like it.
WITH locked AS (SELECT revision FROM config_state FOR SHARE)
INSERT INTO registry_status (org, path, status)
SELECT v.org, v.path, %(status)s
FROM config_versions AS v, locked
WHERE v.kind IN ('cluster', 'backbone') AND v.until = 9223372036854775807 AND v.org = %(org)s AND v.path = %(path)s
ON CONFLICT (org, path) DO UPDATE SET status = excluded.status, changed_at = clock_timestamp()

-- One statement, so that revision, documents, principals and keys are of one moment. Without a revision, the one in force.
WITH wanted AS (SELECT coalesce(%(revision)s::bigint, revision) AS number FROM config_state)
SELECT w.number, v.kind, v.org, v.path, v.value
FROM wanted AS w
LEFT JOIN config_versions AS v ON v.until > w.number AND v.since <= w.number

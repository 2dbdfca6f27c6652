-- One statement, so that revision, documents, principals and keys are of one moment. Without a revision, the one in force. Keys of
-- backbones are there before what they belong to is declared, and don't change but in how they are sealed: they have no revisions.
WITH wanted AS (SELECT coalesce(%(revision)s::bigint, revision) AS number FROM config_state)
SELECT w.number, v.kind, v.org, v.path, v.value
FROM wanted AS w
LEFT JOIN config_versions AS v ON v.until > w.number AND v.since <= w.number
UNION ALL
SELECT w.number, 'backbone_keys', '', k.backbone, encode(k.sealed, 'base64')
FROM wanted AS w, backbone_keys AS k

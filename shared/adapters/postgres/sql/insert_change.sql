WITH noted AS (
    INSERT INTO config_revisions (revision, org, author, action, path, reason)
    VALUES (%(revision)s, %(org)s, %(author)s, %(action)s, %(path)s, %(reason)s)
)
INSERT INTO audit (record_id, time, org, principal, action, path, revision_before, revision_after, reason)
VALUES (%(record_id)s, clock_timestamp(), %(org)s, %(author)s, %(action)s, %(path)s, %(revision)s - 1, %(revision)s, %(reason)s)

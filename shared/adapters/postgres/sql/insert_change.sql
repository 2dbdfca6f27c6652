INSERT INTO audit (record_id, time, org, principal, action, path, revision_before, revision_after, reason)
VALUES (%(record_id)s, now(), %(org)s, %(author)s, %(action)s, %(path)s, %(revision)s - 1, %(revision)s, %(reason)s)

INSERT INTO audit (record_id, time, org, principal, action, path, revision_before, revision_after)
VALUES (%(record_id)s, %(time)s, %(org)s, %(principal)s, %(action)s, %(path)s, %(before)s, %(after)s)
ON CONFLICT DO NOTHING

INSERT INTO refusal_counts (record_id, second, org, principal, rule, count)
VALUES (%(record_id)s, %(second)s, %(org)s, %(principal)s, %(rule)s, %(count)s)
ON CONFLICT DO NOTHING

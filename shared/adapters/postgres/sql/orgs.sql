SELECT o.org, to_char(o.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
    to_char(o.deleted_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
FROM orgs AS o
WHERE %(org)s::text IS NULL OR o.org = %(org)s
ORDER BY o.org

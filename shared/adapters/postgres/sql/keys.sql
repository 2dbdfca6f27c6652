SELECT id, principal, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
FROM api_keys
WHERE org = %(org)s AND (%(name)s::text IS NULL OR principal = %(name)s)
ORDER BY created_at, id

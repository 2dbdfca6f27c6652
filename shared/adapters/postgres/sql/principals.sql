SELECT org, name, grants::text, system
FROM principals
WHERE org = %(org)s AND (%(name)s::text IS NULL OR name = %(name)s)
ORDER BY name

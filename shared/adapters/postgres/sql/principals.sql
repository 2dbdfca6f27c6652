SELECT p.org, p.name, p.grants::text, p.system, v.since
FROM principals AS p
JOIN config_versions AS v ON v.org = p.org AND v.path = 'principals/' || p.name AND v.until = 9223372036854775807
WHERE p.org = %(org)s AND (%(name)s::text IS NULL OR p.name = %(name)s)
ORDER BY p.name

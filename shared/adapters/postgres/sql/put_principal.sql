INSERT INTO principals (org, name, grants, system)
VALUES (%(org)s, %(name)s, %(grants)s::jsonb, %(system)s)
ON CONFLICT (org, name) DO UPDATE SET grants = excluded.grants, system = excluded.system, changed_at = now()

-- The system admins that can sign in.
SELECT org, name, grants::text, system
FROM principals AS p
WHERE system AND EXISTS (SELECT FROM api_keys AS k WHERE k.org = p.org AND k.principal = p.name)

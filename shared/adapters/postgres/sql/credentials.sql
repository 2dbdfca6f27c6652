SELECT id, backbone, org, principal, key, grants, consumers, extract(epoch FROM created_at)::bigint, extract(epoch FROM expires_at)::bigint,
    author, extract(epoch FROM revoked_at)::bigint, why
FROM agent_credentials
WHERE expires_at > now() AND (%(org)s::text IS NULL OR org = %(org)s) AND (%(backbone)s::text IS NULL OR backbone = %(backbone)s)
ORDER BY created_at, id

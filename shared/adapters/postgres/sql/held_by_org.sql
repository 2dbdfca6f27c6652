-- How many principals and keys an org has, and how many bytes all their grants take.
SELECT count(*), coalesce(sum(octet_length(grants::text)), 0)::bigint, (SELECT count(*) FROM api_keys WHERE org = %(org)s)
FROM principals
WHERE org = %(org)s

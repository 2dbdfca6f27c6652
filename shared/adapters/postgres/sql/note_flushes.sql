-- Note the flushes of a batch; only those that were not in yet are returned.
INSERT INTO flushes (cluster, shard, number, logged_at, content)
SELECT %(cluster)s, %(shard)s, number, logged_at, content
FROM unnest(%(numbers)s::bigint[], %(logged)s::bigint[], %(contents)s::bytea[]) AS given (number, logged_at, content)
ON CONFLICT DO NOTHING
RETURNING number, logged_at, content

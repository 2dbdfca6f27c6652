INSERT INTO quarantine (cluster, shard, flush, place, packed, reason)
VALUES (%(cluster)s, %(shard)s, %(flush)s, %(place)s, %(packed)s, %(reason)s)
ON CONFLICT DO NOTHING

-- One writer transaction a (cluster, shard).
SELECT pg_advisory_xact_lock(hashtextextended('switchboard shard ' || %(cluster)s || ' ' || %(shard)s::text, 0))

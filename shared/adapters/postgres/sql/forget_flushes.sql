-- A flush is written again only while the worker that took it has not removed it from its list: the next thing that worker, or the one
-- that takes over from it, does. What this shard committed a while ago can't come back.
DELETE FROM flushes WHERE cluster = %(cluster)s AND shard = %(shard)s AND committed_at < now() - INTERVAL '15 minutes'

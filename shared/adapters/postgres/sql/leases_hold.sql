-- Take or renew: those that are free, ended, or this holder's already. In order, so that two holders never wait for each other in a ring.
INSERT INTO leases (name, holder, until)
SELECT name, %(holder)s, clock_timestamp() + make_interval(secs => %(seconds)s)
FROM unnest(%(names)s::text[]) AS wanted (name) ORDER BY name
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
WHERE leases.holder = excluded.holder OR leases.until < clock_timestamp()
RETURNING name

SELECT number, (extract(epoch FROM time) * 1000000)::bigint, revision, author, action, reason, message
FROM registry_events
WHERE org = %(org)s AND path = %(path)s AND (%(before)s::bigint IS NULL OR number < %(before)s)
ORDER BY number DESC
LIMIT %(limit)s

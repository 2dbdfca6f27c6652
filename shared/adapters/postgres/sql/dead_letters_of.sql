SELECT org, message_id, backbone, reason, attempts, (extract(epoch FROM time) * 1000000)::bigint
FROM dead_letters
WHERE message_id = ANY (%(ids)s) AND org = %(org)s
ORDER BY time

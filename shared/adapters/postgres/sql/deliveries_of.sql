SELECT message_id, backbone, stream, sequence, error, (extract(epoch FROM time) * 1000000)::bigint, attempt, by
FROM deliveries
WHERE message_id = ANY (%(ids)s) AND org = %(org)s AND time >= %(since)s::timestamptz
ORDER BY time, attempt, backbone

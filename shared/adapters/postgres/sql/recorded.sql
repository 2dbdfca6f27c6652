-- What a backbone took of an org's messages since some time, oldest first, from behind (time, sequence) on. Of a message that was delivered
-- again the last time counts, unless every time is asked for, or its id is of two messages: the records don't say which of them each is of.
SELECT d.message_id, d.stream_created, d.sequence, (extract(epoch FROM d.time) * 1000000)::bigint
FROM deliveries AS d
WHERE d.time >= %(since)s::timestamptz AND d.backbone = %(backbone)s AND d.org = %(org)s AND d.error IS NULL
    AND (d.time, d.sequence) > (%(after_time)s::timestamptz, %(after_sequence)s::bigint)
    AND (
        %(every)s::boolean
        OR NOT EXISTS (
            SELECT FROM deliveries AS later
            WHERE later.message_id = d.message_id AND later.backbone = d.backbone AND later.error IS NULL
                AND (later.time, later.sequence) > (d.time, d.sequence)
        )
        OR EXISTS (SELECT FROM messages AS other WHERE other.id = d.message_id AND other.conflict)
    )
ORDER BY d.time, d.sequence
LIMIT %(limit)s

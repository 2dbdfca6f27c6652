-- Oldest first, from behind a row on. What may be read is decided here, as in search.sql.
SELECT {columns}
FROM messages AS m
CROSS JOIN (SELECT 0 AS redelivered) AS k
WHERE m.org = %(org)s
    AND (%(topic)s::text IS NULL OR m.topic = %(topic)s)
    AND (%(topics)s::text IS NULL OR m.topic ~ %(topics)s)
    AND (%(subject)s::text IS NULL OR m.subject = %(subject)s)
    AND (%(since)s::timestamptz IS NULL OR m.received_at >= %(since)s)
    AND (%(until)s::timestamptz IS NULL OR m.received_at < %(until)s)
    AND (%(after)s::timestamptz IS NULL OR m.received_at >= %(after)s)
    AND (%(after)s::timestamptz IS NULL OR (m.received_at, m.record_id) > (%(after)s, %(after_record)s::uuid))
    AND (%(readable)s::jsonb IS NULL OR EXISTS (
        SELECT FROM jsonb_to_recordset(%(readable)s::jsonb) AS granted (topics text, subjects text[])
        WHERE m.topic ~ granted.topics AND (granted.subjects IS NULL OR m.subject = ANY (granted.subjects))
    ))
ORDER BY m.received_at, m.record_id
LIMIT %(limit)s

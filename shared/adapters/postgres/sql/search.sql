-- Newest first. Conditions that aren't given fold away when the statement is planned, which is at each call. What may be read is decided
-- here and not by the caller: `readable` is NULL for all topics and subjects.
SELECT {columns}
FROM (
    SELECT m.*
    FROM {rows}
    WHERE m.org = %(org)s
        AND (%(topic)s::text IS NULL OR m.topic = %(topic)s)
        AND (%(topics)s::text IS NULL OR m.topic ~ %(topics)s)
        AND (%(subject)s::text IS NULL OR m.subject = %(subject)s)
        AND (%(source)s::text IS NULL OR m.source = %(source)s)
        AND (%(event_id)s::text IS NULL OR m.event_id = %(event_id)s)
        AND (%(type)s::text IS NULL OR m.type = %(type)s)
        AND (%(verdict)s::text IS NULL OR m.verdict = %(verdict)s)
        AND (%(since)s::timestamptz IS NULL OR m.received_at >= %(since)s)
        AND (%(until)s::timestamptz IS NULL OR m.received_at < %(until)s)
        AND (%(before)s::timestamptz IS NULL OR m.received_at <= %(before)s)
        AND (%(before)s::timestamptz IS NULL OR (m.received_at, m.record_id) < (%(before)s, %(before_record)s::uuid))
        AND (%(readable)s::jsonb IS NULL OR EXISTS (
            SELECT FROM jsonb_to_recordset(%(readable)s::jsonb) AS granted (topics text, subjects text[])
            WHERE m.topic ~ granted.topics AND (granted.subjects IS NULL OR m.subject = ANY (granted.subjects))
        ))
    ORDER BY m.received_at DESC, m.record_id DESC
    LIMIT %(limit)s
) AS m
LEFT JOIN {key}
ORDER BY m.received_at DESC, m.record_id DESC

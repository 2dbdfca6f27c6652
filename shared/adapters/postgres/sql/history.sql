-- Everything under one message id, newest first: all accepted rows, and the newest attempts.
SELECT {columns}
FROM (
    SELECT m.*
    FROM {rows}
    WHERE m.org = %(org)s
    ORDER BY m.record_id = m.id DESC, m.received_at DESC
    LIMIT %(limit)s
) AS m
LEFT JOIN {key}
ORDER BY m.received_at DESC, m.record_id DESC

-- The accepted messages of these ids, oldest first; a conflict is another message under the same id, and not meant.
SELECT {columns}
FROM message_keys AS k
JOIN messages AS m ON m.org = k.org AND m.received_at = k.received_at AND m.record_id = k.id AND NOT m.conflict
WHERE k.id = ANY (%(ids)s)
ORDER BY m.received_at

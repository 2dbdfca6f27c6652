-- The accepted messages of these ids, oldest first; a conflict is another message under the same id, and not meant. LATERAL, so that each
-- row is looked up by its index: as a plain join the planner reads and sorts a whole chunk for a thousand ids (measured).
SELECT {columns}
FROM message_keys AS k
CROSS JOIN LATERAL (
    SELECT * FROM messages AS found
    WHERE found.org = k.org AND found.received_at = k.received_at AND found.record_id = k.id AND NOT found.conflict
    LIMIT 1
) AS m
WHERE k.id = ANY (%(ids)s)
ORDER BY m.received_at

-- Which of these ids the store has on these days. The log window is today and yesterday: a key the day before or after is the same identity
-- on the other side of midnight, whichever of the two was logged first.
SELECT id, day, digest
FROM message_keys
WHERE id = ANY (%(ids)s) AND day = ANY (%(days)s::date[])

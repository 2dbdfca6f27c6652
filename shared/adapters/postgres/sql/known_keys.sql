-- Which of these ids the store has, and on which days. The days are those of the batch and one to either side: the log window is today
-- and yesterday, and a key the day before or after is the same identity on the other side of midnight, whichever was logged first.
SELECT id, day, digest
FROM message_keys
WHERE id = ANY (%(ids)s::uuid[]) AND day BETWEEN %(first)s AND %(last)s

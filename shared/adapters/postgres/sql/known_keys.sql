-- Which of these ids the store has on these days. The log window is today and yesterday: a key the day before or after is the same identity
-- on the other side of midnight, whichever of the two was logged first.
--
-- The ids come by way of a sub-select, so that the planner doesn't see them: it would look at each of thousands to guess how many rows
-- there are, once a partition. The days it must see: it leaves out all other partitions.
SELECT id, day, digest
FROM message_keys
WHERE id = ANY ((SELECT %(ids)s)::uuid[]) AND day = ANY (%(days)s::date[])

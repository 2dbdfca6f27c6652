-- The log window is today and yesterday: a key the day before or after is the same identity on the other side of midnight, whichever of
-- the two was logged first. ON CONFLICT covers the day itself, and a writer of another cluster.
INSERT INTO message_keys (id, day, received_at, digest, org)
SELECT id, day, received_at, digest, org
FROM new_keys AS new
WHERE NOT EXISTS (
    SELECT FROM message_keys AS old WHERE old.id = new.id AND old.day = ANY (%(beside)s::date[]) AND old.day IN (new.day - 1, new.day + 1)
)
ON CONFLICT DO NOTHING

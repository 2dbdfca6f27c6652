-- Which of these conflicting messages have their row already.
SELECT DISTINCT given.id, given.digest
FROM unnest(%(ids)s, %(digests)s::bytea[], %(days)s::date[]) AS given (id, digest, day)
JOIN messages AS old ON old.id = given.id AND old.digest = given.digest AND old.conflict
    AND old.received_at >= (given.day - 1)::timestamp AT TIME ZONE 'UTC' AND old.received_at < (given.day + 2)::timestamp AT TIME ZONE 'UTC'

-- Which of these messages, by place from 1 on, have a delivery record that can't be another's: the id has one accepted message, of that
-- digest ('' is any). Subqueries of one row, so that each is looked up by its index.
SELECT given.place
FROM unnest(%(ids)s, %(digests)s::bytea[]) WITH ORDINALITY AS given (id, digest, place)
WHERE (
        SELECT true FROM deliveries AS taken
        WHERE taken.message_id = given.id AND taken.backbone = %(backbone)s AND taken.error IS NULL
        LIMIT 1
    )
    AND (SELECT count(*) = 1 AND bool_and(given.digest IN ('', k.digest)) FROM message_keys AS k WHERE k.id = given.id)
    AND (SELECT true FROM messages AS other WHERE other.id = given.id AND other.conflict LIMIT 1) IS NULL

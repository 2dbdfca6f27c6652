-- The oldest messages of an org that it keeps no longer, with what was written of them. A key stays for as long as its identity may come
-- again; a delivery that is younger, and what isn't found here, goes with its day.
WITH old AS MATERIALIZED (
    SELECT id, record_id, received_at
    FROM messages
    WHERE org = %(org)s AND received_at < %(before)s
    ORDER BY received_at
    LIMIT %(limit)s
), messages_gone AS (
    DELETE FROM messages AS m USING old
    WHERE m.org = %(org)s AND m.received_at = old.received_at AND m.record_id = old.record_id
    RETURNING m.id
), keys_gone AS (
    DELETE FROM message_keys AS k USING old
    WHERE k.id = old.id AND k.received_at = old.received_at AND k.received_at < %(keys_before)s
    RETURNING k.id
), deliveries_gone AS (
    DELETE FROM deliveries AS d USING old
    WHERE d.message_id = old.id AND d.org = %(org)s AND d.time < %(before)s
    RETURNING d.message_id
), letters_gone AS (
    DELETE FROM dead_letters WHERE org = %(org)s AND time < %(before)s RETURNING org
), counts_gone AS (
    DELETE FROM refusal_counts WHERE org = %(org)s AND second < %(before)s RETURNING org
)
SELECT (SELECT count(*) FROM messages_gone) + (SELECT count(*) FROM letters_gone) + (SELECT count(*) FROM counts_gone)

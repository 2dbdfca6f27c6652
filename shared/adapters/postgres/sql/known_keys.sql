-- The new keys that were not inserted: whose row is another transaction's, and the digest it holds.
SELECT DISTINCT ON (new.id) new.id, old.day, old.digest
FROM new_keys AS new
JOIN message_keys AS old ON old.id = new.id AND old.day = ANY (%(days)s::date[]) AND old.day BETWEEN new.day - 1 AND new.day + 1
WHERE old.xmin <> pg_current_xact_id()::xid
ORDER BY new.id, abs(old.day - new.day), old.day

-- The last 1,000 events of one thing are kept.
WITH dropped AS (
    DELETE FROM registry_events WHERE org = %(org)s AND path = %(path)s AND number <= (
        SELECT number FROM registry_events WHERE org = %(org)s AND path = %(path)s ORDER BY number DESC OFFSET 999 LIMIT 1
    )
)
INSERT INTO registry_events (org, path, revision, author, action, reason, message)
VALUES (%(org)s, %(path)s, %(revision)s, %(author)s, %(action)s, %(reason)s, %(message)s)

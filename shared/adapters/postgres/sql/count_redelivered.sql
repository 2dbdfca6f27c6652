UPDATE message_keys AS old
SET redelivered = old.redelivered + given.times
FROM unnest(%(ids)s, %(days)s::date[], %(times)s::integer[]) AS given (id, day, times)
WHERE old.id = given.id AND old.day = given.day

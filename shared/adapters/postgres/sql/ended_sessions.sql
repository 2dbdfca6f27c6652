-- The sessions of a key that were signed out: the one path that stands for many, and those below it ('0' comes after '/').
SELECT path, value::bigint
FROM config_versions
WHERE kind = 'session' AND org = %(org)s AND path >= %(key)s AND path < %(key)s || '0' AND until = 9223372036854775807

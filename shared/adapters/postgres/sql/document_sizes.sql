SELECT path, since, octet_length(value)
FROM config_versions
WHERE kind = 'document' AND org = %(org)s AND until = 9223372036854775807

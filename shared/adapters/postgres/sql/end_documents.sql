SELECT keep_version('document', org, path, NULL)
FROM config_versions
WHERE kind = 'document' AND org = %(org)s AND until = 9223372036854775807

-- Whether a document of the org was changed after a revision.
SELECT EXISTS (
    SELECT FROM config_versions
    WHERE kind = 'document' AND org = %(org)s
        AND (since > %(revision)s OR (until > %(revision)s AND until < 9223372036854775807))
)

-- The issuers in force: they are nobody's in particular, so their org is empty, as the document global's is.
SELECT value, since
FROM config_versions
WHERE kind = 'issuer' AND org = '' AND until = 9223372036854775807
ORDER BY path

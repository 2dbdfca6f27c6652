-- What revisions made of documents and principals: what ended with them, and what began.
SELECT number, path, max(value) FILTER (WHERE ended), max(value) FILTER (WHERE NOT ended)
FROM (
    SELECT since AS number, org, path, value, false AS ended FROM config_versions
    WHERE since = ANY(%(revisions)s) AND kind NOT IN ('key', 'session')
    UNION ALL
    SELECT until, org, path, value, true FROM config_versions WHERE until = ANY(%(revisions)s) AND kind NOT IN ('key', 'session')
) AS changed
GROUP BY number, org, path
ORDER BY number, path

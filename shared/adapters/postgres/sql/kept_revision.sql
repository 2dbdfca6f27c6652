-- Whether a revision's state is known still: it is in force, or it ended less than a day ago.
SELECT %(revision)s <= s.revision AND %(revision)s >= s.history_from AND NOT EXISTS (
    SELECT FROM config_revisions AS r
    WHERE r.revision > %(revision)s AND r.time < clock_timestamp() - interval '24 hours'
)
FROM config_state AS s

SELECT pg_advisory_xact_lock(hashtextextended('switchboard admin key', 0))

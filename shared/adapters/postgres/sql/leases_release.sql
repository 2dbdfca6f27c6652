DELETE FROM leases WHERE name = ANY(%(names)s) AND holder = %(holder)s

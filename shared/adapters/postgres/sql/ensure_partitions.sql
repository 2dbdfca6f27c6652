SELECT ensure_partitions(%(days)s::date[])

SELECT drop_days(%(before)s::timestamptz, (%(keys_before)s::timestamptz AT TIME ZONE 'UTC')::date)

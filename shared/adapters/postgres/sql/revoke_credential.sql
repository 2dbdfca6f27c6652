UPDATE agent_credentials SET revoked_at = clock_timestamp(), why = %(why)s WHERE id = %(id)s AND revoked_at IS NULL

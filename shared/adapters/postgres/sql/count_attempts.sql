SELECT count(*) FROM messages WHERE org = %(org)s AND id = ANY (%(ids)s) AND record_id <> id

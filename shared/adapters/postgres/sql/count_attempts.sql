SELECT count(*) FROM messages WHERE org = %(org)s AND id = ANY (%(ids)s::uuid[]) AND record_id <> id

SELECT DISTINCT message_id FROM deliveries WHERE message_id = ANY (%(ids)s::uuid[]) AND backbone = %(backbone)s AND error IS NULL

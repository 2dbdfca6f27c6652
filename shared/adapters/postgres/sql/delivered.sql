SELECT DISTINCT message_id FROM deliveries WHERE message_id = ANY (%(ids)s) AND backbone = %(backbone)s AND error IS NULL

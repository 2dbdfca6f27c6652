DELETE FROM api_keys WHERE org = %(org)s AND principal = %(name)s AND id = %(id)s

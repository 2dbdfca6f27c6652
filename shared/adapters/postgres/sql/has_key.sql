SELECT EXISTS (SELECT FROM api_keys WHERE hash = %(hash)s)

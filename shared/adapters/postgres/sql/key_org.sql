SELECT org FROM api_keys WHERE hash = %(hash)s

INSERT INTO api_keys (id, hash, org, principal, author) VALUES (%(id)s, %(hash)s, %(org)s, %(name)s, %(author)s)

SELECT keep_version('issuer', '', %(path)s, %(value)s)

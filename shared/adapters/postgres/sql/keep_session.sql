SELECT keep_version('session', %(org)s, %(path)s, %(value)s)

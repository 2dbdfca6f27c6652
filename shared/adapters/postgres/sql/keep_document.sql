SELECT keep_version('document', %(org)s, %(path)s, %(value)s)

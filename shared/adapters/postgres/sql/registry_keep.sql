SELECT keep_version(%(kind)s, %(org)s, %(path)s, %(value)s)

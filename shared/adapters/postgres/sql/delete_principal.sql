DELETE FROM principals WHERE org = %(org)s AND name = %(name)s

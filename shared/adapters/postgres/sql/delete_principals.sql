DELETE FROM principals WHERE org = %(org)s

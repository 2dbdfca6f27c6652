DELETE FROM registry_status WHERE org = %(org)s AND path = %(path)s

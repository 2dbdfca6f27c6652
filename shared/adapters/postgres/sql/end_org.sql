UPDATE orgs SET deleted_at = now() WHERE org = %(org)s AND deleted_at IS NULL

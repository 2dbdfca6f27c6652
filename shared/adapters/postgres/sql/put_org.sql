INSERT INTO orgs (org) VALUES (%(org)s) ON CONFLICT (org) DO UPDATE SET deleted_at = NULL

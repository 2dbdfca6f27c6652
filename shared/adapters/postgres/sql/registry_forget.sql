-- What was found of it, and a backbone's keys and credentials: whoever held some has nothing to connect to.
WITH keys AS (DELETE FROM backbone_keys WHERE 'backbones/' || backbone = %(path)s),
given AS (DELETE FROM agent_credentials WHERE 'backbones/' || backbone = %(path)s)
DELETE FROM registry_status WHERE org = %(org)s AND path = %(path)s

-- Those that expired a day ago go: nobody asks for them any more.
WITH old AS (DELETE FROM agent_credentials WHERE expires_at < now() - interval '1 day')
INSERT INTO agent_credentials (id, backbone, org, principal, key, grants, consumers, created_at, expires_at, author)
VALUES (%(id)s, %(backbone)s, %(org)s, %(principal)s, %(key)s, %(grants)s, %(consumers)s, to_timestamp(%(created)s), to_timestamp(%(expires)s), %(author)s)

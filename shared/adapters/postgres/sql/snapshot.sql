-- One statement, so that revision, principals and keys are of one moment.
SELECT s.revision, k.hash, p.org, p.name, p.grants::text, p.system
FROM config_state AS s
LEFT JOIN (api_keys AS k JOIN principals AS p ON p.org = k.org AND p.name = k.principal) ON true

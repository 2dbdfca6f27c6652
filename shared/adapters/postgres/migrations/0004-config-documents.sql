-- depends: 0003-config
-- Documents, and every state that config was ever in: the versions of documents, principals and keys, each with the revisions it was
-- in force from (`since`) and until (`until`, not included; 9223372036854775807 for what is in force).

CREATE TABLE IF NOT EXISTS config_versions (
    kind text COLLATE "C" NOT NULL,                 -- document, principal, key
    org text COLLATE "C" NOT NULL,                  -- empty: the global document's
    path text COLLATE "C" NOT NULL,                 -- topics/orders.>, principals/shop, principals/shop/keys/k_1
    since bigint NOT NULL,
    until bigint NOT NULL DEFAULT 9223372036854775807,
    value text COLLATE "C" NOT NULL,                -- canonical JSON; grants and system as JSON; a key's SHA-256 in hex
    PRIMARY KEY (org, path, since)
);

CREATE UNIQUE INDEX IF NOT EXISTS config_versions_until ON config_versions (until, org, path);

CREATE INDEX IF NOT EXISTS config_versions_since ON config_versions (since);

-- Who did what: a row a revision, for as long as there is config. `audit` says the same among other things, and may be cut.
CREATE TABLE IF NOT EXISTS config_revisions (
    revision bigint PRIMARY KEY,
    time timestamptz NOT NULL DEFAULT clock_timestamp(), -- not now(): that is when its transaction began to wait for the row's lock
    org text COLLATE "C" NOT NULL,
    author text COLLATE "C" NOT NULL,
    action text COLLATE "C" NOT NULL,
    path text COLLATE "C" NOT NULL,
    reason text COLLATE "C" NOT NULL
);

CREATE INDEX IF NOT EXISTS config_revisions_org ON config_revisions (org, revision DESC);

CREATE INDEX IF NOT EXISTS config_revisions_time ON config_revisions (time);

CREATE TABLE IF NOT EXISTS orgs (
    org text COLLATE "C" PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz                          -- its doors are stopped; what it left is kept until retention
);

ALTER TABLE config_state ADD COLUMN IF NOT EXISTS history_from bigint NOT NULL DEFAULT 1; -- versions of earlier revisions aren't known

-- What is at a path from this revision on; NULL: nothing. Twice in one revision, the last one counts.
CREATE OR REPLACE FUNCTION keep_version(of_kind text, of_org text, at_path text, becomes text) RETURNS void LANGUAGE plpgsql AS $body$
DECLARE
    number bigint := (SELECT revision FROM config_state);
BEGIN
    DELETE FROM config_versions WHERE org = of_org AND path = at_path AND since = number;
    UPDATE config_versions SET until = number WHERE org = of_org AND path = at_path AND until = 9223372036854775807;
    IF becomes IS NOT NULL THEN
        INSERT INTO config_versions (kind, org, path, since, value) VALUES (of_kind, of_org, at_path, number, becomes);
    END IF;
END
$body$;

-- Triggers, so that no way to write a principal or a key, the cascade of a deletion included, leaves the history behind.
CREATE OR REPLACE FUNCTION keep_principal() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF TG_OP = 'DELETE' THEN
        PERFORM keep_version('principal', OLD.org, 'principals/' || OLD.name, NULL);
    ELSE
        PERFORM keep_version('principal', NEW.org, 'principals/' || NEW.name,
            jsonb_build_object('grants', NEW.grants, 'system', NEW.system)::text);
    END IF;
    RETURN NULL;
END
$body$;

CREATE OR REPLACE FUNCTION keep_key() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF TG_OP = 'DELETE' THEN
        PERFORM keep_version('key', OLD.org, 'principals/' || OLD.principal || '/keys/' || OLD.id, NULL);
    ELSE
        PERFORM keep_version('key', NEW.org, 'principals/' || NEW.principal || '/keys/' || NEW.id, encode(NEW.hash, 'hex'));
    END IF;
    RETURN NULL;
END
$body$;

CREATE OR REPLACE TRIGGER keep_principal AFTER INSERT OR UPDATE OR DELETE ON principals FOR EACH ROW EXECUTE FUNCTION keep_principal();

CREATE OR REPLACE TRIGGER keep_key AFTER INSERT OR UPDATE OR DELETE ON api_keys FOR EACH ROW EXECUTE FUNCTION keep_key();

-- What is there already. Nobody else writes meanwhile: the row's lock is held.
DO $body$
BEGIN
    PERFORM revision FROM config_state FOR UPDATE;
    IF NOT EXISTS (SELECT FROM config_versions) THEN
        UPDATE config_state SET history_from = revision;
        INSERT INTO config_versions (kind, org, path, since, value)
            SELECT 'principal', org, 'principals/' || name, revision, jsonb_build_object('grants', grants, 'system', system)::text
            FROM principals, config_state;
        INSERT INTO config_versions (kind, org, path, since, value)
            SELECT 'key', org, 'principals/' || principal || '/keys/' || id, revision, encode(hash, 'hex') FROM api_keys, config_state;
    END IF;
    INSERT INTO config_revisions (revision, time, org, author, action, path, reason)
        SELECT revision_after, time, org, principal, action, path, reason FROM audit WHERE action LIKE 'principal.%' OR action LIKE 'key.%'
        ON CONFLICT DO NOTHING;
    INSERT INTO orgs (org) SELECT DISTINCT org FROM principals ON CONFLICT DO NOTHING;
END
$body$;

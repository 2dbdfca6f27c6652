-- depends: 0006-retention
-- The registry. What is declared is config: rows of config_versions of the kinds `cluster` (clusters/<name>) and `backbone`
-- (backbones/<id>), the org empty where it is shared. Here is what was found of it, and what happened to it.

CREATE TABLE IF NOT EXISTS registry_status (
    org text COLLATE "C" NOT NULL,
    path text COLLATE "C" NOT NULL,
    status text COLLATE "C" NOT NULL,               -- JSON (shared/domain/registry/shapes.py, Status)
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (org, path)
);

CREATE TABLE IF NOT EXISTS registry_events (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    time timestamptz NOT NULL DEFAULT clock_timestamp(),
    org text COLLATE "C" NOT NULL,
    path text COLLATE "C" NOT NULL,
    revision bigint,                                -- NULL: what happened changed no config
    author text COLLATE "C" NOT NULL,
    action text COLLATE "C" NOT NULL,
    reason text COLLATE "C" NOT NULL,
    message text COLLATE "C" NOT NULL
);

CREATE INDEX IF NOT EXISTS registry_events_place ON registry_events (org, path, number DESC);

CREATE INDEX IF NOT EXISTS config_versions_registry ON config_versions (path, org)
    WHERE kind IN ('cluster', 'backbone') AND until = 9223372036854775807;

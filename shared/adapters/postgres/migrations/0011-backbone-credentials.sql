-- depends: 0010-sessions
-- The keys of backbones, sealed with the install's secret, and the credentials that they signed for agents: never the secret part.

CREATE TABLE IF NOT EXISTS backbone_keys (
    backbone text COLLATE "C" PRIMARY KEY,
    sealed bytea NOT NULL,
    made_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE IF NOT EXISTS agent_credentials (
    id text COLLATE "C" PRIMARY KEY,
    backbone text COLLATE "C" NOT NULL,
    org text COLLATE "C" NOT NULL,
    principal text COLLATE "C" NOT NULL,            -- may be gone: then they are revoked
    key text COLLATE "C" NOT NULL UNIQUE,           -- the public part
    grants text COLLATE "C" NOT NULL,               -- JSON: what they rest on
    consumers text[] COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    author text COLLATE "C" NOT NULL,
    revoked_at timestamptz,
    why text COLLATE "C" NOT NULL DEFAULT ''
);

CREATE INDEX IF NOT EXISTS agent_credentials_place ON agent_credentials (backbone, org, expires_at);

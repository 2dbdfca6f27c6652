-- depends: 0002-time-partitions
-- Config as far as it goes: principals with their grants, API keys, and the one row that numbers config states.

CREATE TABLE IF NOT EXISTS config_state (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    revision bigint NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
);

INSERT INTO config_state (revision) VALUES (1) ON CONFLICT DO NOTHING;

CREATE TABLE IF NOT EXISTS principals (
    org text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    grants jsonb NOT NULL,
    system boolean NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org, name)
);

CREATE TABLE IF NOT EXISTS api_keys (
    id text COLLATE "C" PRIMARY KEY,
    hash bytea NOT NULL UNIQUE CHECK (length(hash) = 32),       -- SHA-256: the key itself is nowhere
    org text COLLATE "C" NOT NULL,
    principal text COLLATE "C" NOT NULL,
    author text COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (org, principal) REFERENCES principals (org, name) ON DELETE CASCADE
);

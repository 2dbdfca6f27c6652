-- What the logger writes. Every statement may run again: yoyo notes a migration after it has committed it.
--
-- Text has the C collation: comparisons are of bytes, and LIKE 'a%' can use an index whatever locale the database was made with.

CREATE TABLE IF NOT EXISTS messages (
    record_id uuid NOT NULL,                        -- the message id of an accepted message; an attempt has its own
    id uuid NOT NULL,                               -- the message id
    received_at timestamptz NOT NULL,
    logged_at timestamptz NOT NULL,
    config_revision bigint NOT NULL,
    status smallint NOT NULL,
    cut boolean NOT NULL,
    conflict boolean NOT NULL,
    digest bytea NOT NULL,
    org text COLLATE "C" NOT NULL,
    topic text COLLATE "C" NOT NULL,
    subject text COLLATE "C",
    source text COLLATE "C" NOT NULL,
    type text COLLATE "C" NOT NULL,
    event_id text COLLATE "C" NOT NULL,
    time text COLLATE "C",                          -- as received
    door text COLLATE "C" NOT NULL,
    principal text COLLATE "C" NOT NULL,
    datacontenttype text COLLATE "C",
    dataschema text COLLATE "C",
    verdict text COLLATE "C" NOT NULL,
    rule text COLLATE "C",
    detail text COLLATE "C",
    targets text[] COLLATE "C" NOT NULL,
    undeliverable text COLLATE "C",
    extensions jsonb,
    body bytea                                      -- as received
) PARTITION BY RANGE (received_at);

-- The identity of each accepted message: within a day the first digest of an id wins, and the row leads from a UUID to its message.
CREATE TABLE IF NOT EXISTS message_keys (
    id uuid NOT NULL,
    day date NOT NULL,                              -- of received_at, UTC
    received_at timestamptz NOT NULL,
    digest bytea NOT NULL,
    redelivered integer NOT NULL DEFAULT 0,
    org text COLLATE "C" NOT NULL,
    PRIMARY KEY (id, day)
) PARTITION BY RANGE (day);

CREATE TABLE IF NOT EXISTS deliveries (
    time timestamptz NOT NULL,
    message_id uuid NOT NULL,
    sequence bigint,                                -- NULL where error says why
    attempt integer NOT NULL,
    org text COLLATE "C" NOT NULL,
    backbone text COLLATE "C" NOT NULL,
    stream text COLLATE "C" NOT NULL,
    stream_created text COLLATE "C" NOT NULL,
    by text COLLATE "C" NOT NULL,
    subject text COLLATE "C" NOT NULL,
    error text COLLATE "C"
) PARTITION BY RANGE (time);

CREATE TABLE IF NOT EXISTS dead_letters (
    time timestamptz NOT NULL,
    message_id uuid NOT NULL,
    org text COLLATE "C" NOT NULL,
    backbone text COLLATE "C" NOT NULL,             -- empty where there was no route
    reason text COLLATE "C" NOT NULL,
    attempts integer NOT NULL
);

CREATE INDEX IF NOT EXISTS dead_letters_message ON dead_letters (message_id);

CREATE INDEX IF NOT EXISTS dead_letters_org ON dead_letters (org, time DESC);

CREATE TABLE IF NOT EXISTS refusal_counts (
    record_id uuid PRIMARY KEY,
    second timestamptz NOT NULL,
    org text COLLATE "C" NOT NULL,
    principal text COLLATE "C" NOT NULL,
    rule text COLLATE "C" NOT NULL,
    count integer NOT NULL
);

CREATE INDEX IF NOT EXISTS refusal_counts_org ON refusal_counts (org, second DESC);

CREATE TABLE IF NOT EXISTS quarantine (
    cluster text COLLATE "C" NOT NULL,
    shard integer NOT NULL,
    flush bigint NOT NULL,
    place integer NOT NULL,                         -- the record's index in its flush
    packed bytea NOT NULL,
    reason text COLLATE "C" NOT NULL,
    set_aside_at timestamptz NOT NULL DEFAULT now()
);

CREATE UNIQUE INDEX IF NOT EXISTS quarantine_record ON quarantine (cluster, shard, flush, place, md5(packed));

CREATE TABLE IF NOT EXISTS audit (
    record_id uuid PRIMARY KEY,
    time timestamptz NOT NULL,
    org text COLLATE "C" NOT NULL,
    principal text COLLATE "C" NOT NULL,
    action text COLLATE "C" NOT NULL,
    path text COLLATE "C" NOT NULL,
    revision_before bigint NOT NULL,
    revision_after bigint NOT NULL,
    reason text COLLATE "C" NOT NULL DEFAULT ''
);

CREATE INDEX IF NOT EXISTS audit_org ON audit (org, time DESC);

-- Which flushes are in: a batch whose COMMIT went unanswered is written again, and what is here is skipped. `content` tells the parts
-- of a bisected flush apart, `logged_at` the flushes of a log that was lost and numbers from 1 again. Trimmed by the writer.
CREATE TABLE IF NOT EXISTS flushes (
    cluster text COLLATE "C" NOT NULL,
    shard integer NOT NULL,
    number bigint NOT NULL,
    logged_at bigint NOT NULL,
    content bytea NOT NULL,
    committed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (cluster, shard, number, logged_at, content)
);

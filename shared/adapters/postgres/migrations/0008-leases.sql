-- depends: 0007-registry
-- Who looks after what: one holder a name, until it is given up or not renewed in time.

CREATE TABLE IF NOT EXISTS leases (
    name text COLLATE "C" PRIMARY KEY,
    holder text COLLATE "C" NOT NULL,
    until timestamptz NOT NULL
);

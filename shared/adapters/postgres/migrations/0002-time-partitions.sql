-- depends: 0001-messages
-- A chunk a day by TimescaleDB where its extension is in this database, a native partition a day where it isn't.

-- Make the day's partitions where they are missing. A partition is made beside its table and then attached: ATTACH waits for no reader
-- and no writer, CREATE TABLE ... PARTITION OF for all of them.
CREATE OR REPLACE FUNCTION ensure_partitions(days date[]) RETURNS void LANGUAGE plpgsql AS $body$
DECLARE
    parent text;
    of_day date;
    partition text;
    bounds text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('switchboard partitions', 0));
    FOREACH parent IN ARRAY ARRAY['message_keys', 'messages', 'deliveries'] LOOP
        CONTINUE WHEN NOT EXISTS (SELECT FROM pg_partitioned_table WHERE partrelid = parent::regclass);
        FOREACH of_day IN ARRAY days LOOP
            partition := parent || to_char(of_day, '"_"YYYYMMDD');
            CONTINUE WHEN EXISTS (SELECT FROM pg_inherits WHERE inhparent = parent::regclass AND inhrelid = to_regclass(partition));
            bounds := CASE WHEN parent = 'message_keys' THEN format('FROM (%L) TO (%L)', of_day, of_day + 1)
                ELSE format('FROM (%L) TO (%L)', of_day::timestamp AT TIME ZONE 'UTC', (of_day + 1)::timestamp AT TIME ZONE 'UTC') END;
            EXECUTE format('CREATE TABLE IF NOT EXISTS %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', partition, parent);
            EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES %s', parent, partition, bounds);
        END LOOP;
    END LOOP;
END
$body$;

-- A hypertable can't be made of a partitioned table: while it is empty, it is made again as a plain one.
DO $body$
DECLARE
    parent text;
    by_time text;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb') THEN
        RETURN;
    END IF;
    FOR parent, by_time IN VALUES ('messages', 'received_at'), ('deliveries', 'time') LOOP
        CONTINUE WHEN NOT EXISTS (SELECT FROM pg_partitioned_table WHERE partrelid = parent::regclass);
        EXECUTE format('CREATE TABLE hypertable_new (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', parent);
        EXECUTE format('DROP TABLE %I', parent);
        EXECUTE format('ALTER TABLE hypertable_new RENAME TO %I', parent);
        PERFORM create_hypertable(parent::regclass, by_range(by_time, INTERVAL '1 day'), create_default_indexes => false);
    END LOOP;
END
$body$;

-- Lists, newest first: by org, by topic, by subject.
CREATE INDEX IF NOT EXISTS messages_org ON messages (org, received_at DESC, record_id DESC);

CREATE INDEX IF NOT EXISTS messages_topic ON messages (org, topic, received_at DESC, record_id DESC);

CREATE INDEX IF NOT EXISTS messages_subject ON messages (org, subject, received_at DESC, record_id DESC) WHERE subject IS NOT NULL;

-- By message id: message_keys leads to the accepted row; the few others are here.
CREATE INDEX IF NOT EXISTS messages_beside ON messages (id, received_at DESC) WHERE record_id <> id OR conflict;

CREATE INDEX IF NOT EXISTS deliveries_message ON deliveries (message_id);

DO $body$
DECLARE
    today date := (now() AT TIME ZONE 'UTC')::date;
BEGIN
    PERFORM ensure_partitions(ARRAY[today - 1, today, today + 1, today + 2]);
END
$body$;

-- depends: 0005-shadows
-- Days that nobody keeps any longer go whole: as chunks where TimescaleDB is, as partitions where it isn't.

-- How many went. One that readers have open now goes another time: dropping it would make all that come after wait behind it.
CREATE OR REPLACE FUNCTION drop_days(before timestamptz, keys_before date) RETURNS integer LANGUAGE plpgsql AS $body$
DECLARE
    parent text;
    by_time text;
    partition text;
    dropped integer := 0;
    chunks integer;
BEGIN
    SET LOCAL lock_timeout = '1s';
    FOR parent, by_time IN VALUES ('messages', 'received_at'), ('deliveries', 'time'), ('message_keys', 'day') LOOP
        IF EXISTS (SELECT FROM pg_partitioned_table WHERE partrelid = parent::regclass) THEN
            FOR partition IN
                SELECT child.relname FROM pg_inherits AS i JOIN pg_class AS child ON child.oid = i.inhrelid
                WHERE i.inhparent = parent::regclass AND child.relname ~ '_[0-9]{8}$'
                    AND to_date(right(child.relname, 8), 'YYYYMMDD') + 1
                        <= CASE WHEN parent = 'message_keys' THEN keys_before ELSE (before AT TIME ZONE 'UTC')::date END
                ORDER BY 1
            LOOP
                BEGIN
                    EXECUTE format('DROP TABLE %I', partition);
                    dropped := dropped + 1;
                EXCEPTION WHEN lock_not_available THEN
                    NULL;
                END;
            END LOOP;
        ELSE
            BEGIN
                EXECUTE format('SELECT count(*) FROM drop_chunks(%L::regclass, older_than => $1)', parent) INTO chunks USING before;
                dropped := dropped + chunks;
            EXCEPTION WHEN lock_not_available THEN
                NULL;
            END;
        END IF;
    END LOOP;
    RETURN dropped;
END
$body$;

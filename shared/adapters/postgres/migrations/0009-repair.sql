-- depends: 0008-leases
-- Repair reads what a backbone took from some time on. It is rare, and there are as many rows as messages: an index of a few pages, which
-- knows what times each stretch of the table has, costs a writer next to nothing.
CREATE INDEX IF NOT EXISTS deliveries_time ON deliveries USING brin (time) WITH (autosummarize = on);

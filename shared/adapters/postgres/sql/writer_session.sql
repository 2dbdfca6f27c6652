-- What a writer's connection is set up with. The joins with message_keys must stay index look-ups however the tables have grown since
-- anyone counted their rows: a hash or merge join would read a day of keys for each batch.
SET timezone = 'UTC';
SET statement_timeout = '60s';
SET idle_in_transaction_session_timeout = '60s';
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET jit = off

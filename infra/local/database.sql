-- The database of the embedded server; psql runs this at every start.
SELECT 'CREATE DATABASE switchboard'
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'switchboard')
\gexec

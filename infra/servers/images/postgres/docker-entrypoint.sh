#!/usr/bin/env bash
# Makes the data directory when it is new, then runs the server: what infra/servers/postgres.yaml uses of the official image's
# entrypoint, with its variables: POSTGRES_USER, POSTGRES_DB, POSTGRES_PASSWORD_FILE, POSTGRES_INITDB_ARGS, PGDATA.
set -euo pipefail
umask 077

make_data() {
    local fresh=$PGDATA.new sockets
    # Beside the place, then moved: a start that is killed halfway leaves nothing that looks like a database.
    rm -rf "$fresh"
    # shellcheck disable=SC2086  # several options
    initdb -D "$fresh" -U "$POSTGRES_USER" --pwfile="$POSTGRES_PASSWORD_FILE" --no-instructions ${POSTGRES_INITDB_ARGS:-}
    echo 'host all all all scram-sha-256' >>"$fresh/pg_hba.conf"
    sockets=$(mktemp -d)
    # A server for the first steps: on a socket only, so that nobody else finds it.
    pg_ctl -D "$fresh" -w -o "-c listen_addresses='' -c unix_socket_directories='$sockets' -c shared_preload_libraries=timescaledb" start
    PGPASSWORD=$(cat "$POSTGRES_PASSWORD_FILE")
    export PGPASSWORD
    first_sql() { psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 -h "$sockets" -U "$POSTGRES_USER" "$@"; }
    first_sql -d postgres --set=name="$POSTGRES_DB" <<<'CREATE DATABASE :"name"'
    first_sql -d "$POSTGRES_DB" <<<'CREATE EXTENSION timescaledb'
    unset PGPASSWORD
    pg_ctl -D "$fresh" -m fast -w stop
    rm -rf "$sockets"
    mv "$fresh" "$PGDATA"
}

if [ "${1:-}" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then make_data; fi
exec "$@"

COPY messages (
    record_id, id, received_at, logged_at, config_revision, status, cut, conflict, digest,
    org, type, door, principal, datacontenttype, dataschema, verdict, rule, detail, targets, undeliverable,
    topic, subject, source, event_id, time, extensions, body, shadows
) FROM STDIN (FORMAT binary)

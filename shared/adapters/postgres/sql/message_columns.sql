m.record_id, m.id, m.digest, m.org, m.topic, m.subject, m.source, m.event_id, m.type, m.time, m.datacontenttype, m.dataschema,
    m.extensions::text, m.body, (extract(epoch FROM m.received_at) * 1000000)::bigint, m.door, m.principal, m.config_revision,
    m.verdict, m.rule, m.detail, m.status, (extract(epoch FROM m.logged_at) * 1000000)::bigint, m.targets, m.conflict, m.cut,
    m.undeliverable, m.shadows, coalesce(k.redelivered, 0)

message_keys AS k ON k.id = m.id AND k.day = (m.received_at AT TIME ZONE 'UTC')::date AND m.record_id = m.id AND NOT m.conflict

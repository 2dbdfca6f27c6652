(
        SELECT accepted.*
        FROM message_keys AS of_id
        JOIN messages AS accepted ON accepted.org = of_id.org AND accepted.received_at = of_id.received_at
            AND accepted.record_id = of_id.id AND NOT accepted.conflict
        WHERE of_id.id = ANY (%(ids)s)
        UNION ALL
        SELECT beside.*
        FROM messages AS beside
        WHERE beside.id = ANY (%(ids)s) AND (beside.record_id <> beside.id OR beside.conflict)
    ) AS m

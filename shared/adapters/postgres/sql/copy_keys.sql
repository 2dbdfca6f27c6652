COPY message_keys (id, day, received_at, digest, org) FROM STDIN (FORMAT binary)

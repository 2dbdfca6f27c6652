COPY deliveries (time, message_id, sequence, attempt, org, backbone, stream, stream_created, by, error, subject) FROM STDIN (FORMAT binary)

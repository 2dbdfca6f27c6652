INSERT INTO dead_letters (time, message_id, org, backbone, reason, attempts)
VALUES (%(time)s, %(id)s, %(org)s, %(backbone)s, %(reason)s, %(attempts)s)

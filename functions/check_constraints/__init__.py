"""| check_constraints | function | `switchboard.message.received` (pipeline) | config snapshot, rate limits | rate limits, log queue, receipts |"""  # noqa: E501

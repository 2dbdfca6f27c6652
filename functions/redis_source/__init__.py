"""| redis_source | pod | `LPUSH sb:submit:{<org>}` | config snapshot, rate limits | log queue, backbones, or K_SINK; receipts |"""

"""| nats_source | pod | NATS: `submit.<org>.>`, `request.<org>.>` | config snapshot, store | log queue, backbones, or K_SINK; replies |"""

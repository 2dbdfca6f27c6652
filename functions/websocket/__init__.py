"""| websocket | pod | `GET /v1/events`, `/v1/feed`, `/v1/session`, `GET /` | feed, config snapshot | log queue, backbones, config |"""

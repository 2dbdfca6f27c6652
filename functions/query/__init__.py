"""| query | function | `GET /v1/messages` | config snapshot, store | |"""

"""| ingest | function | `POST /v1/events`, `POST /` | config snapshot | log queue, backbones; brokered: Broker |"""

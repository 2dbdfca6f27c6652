"""| route | function | `switchboard.message.accepted` (pipeline) | log queue (gates) | backbones, log queue |"""

"""| log_batch | function | `switchboard.log.batch` (logger); `/v1/log/` (edges) | store | store, feed |"""

"""| log_batch | function | `switchboard.log.batch` (logger) | | store |"""

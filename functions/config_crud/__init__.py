"""| config_crud | function | `/v1/config`; `switchboard.config.put`, `.patch`, `.delete` | config store | config store, audit |"""

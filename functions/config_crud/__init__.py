"""| config_crud | function | `/v1/config/principals` | config store | config store, audit |"""

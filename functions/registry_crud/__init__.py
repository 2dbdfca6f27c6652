"""| registry_crud | function | `/v1/clusters`, `/v1/backbones`, `/v1/resolve`; `switchboard.backbone.*` | config | registry, keys |"""

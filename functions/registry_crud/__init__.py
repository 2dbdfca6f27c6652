"""| registry_crud | function | `/v1/clusters`, `/v1/backbones`; `switchboard.backbone.*` | config snapshot, registry | registry, audit |"""

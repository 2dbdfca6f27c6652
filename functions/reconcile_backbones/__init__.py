"""| reconcile_backbones | pod | registry; every 5 s | registry, credentials, config, clusters | registry, releases, streams, accounts |"""

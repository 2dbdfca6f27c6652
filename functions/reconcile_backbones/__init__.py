"""| reconcile_backbones | pod | registry; every 5 s | registry, config snapshot, clusters | registry, Helm releases, streams |"""

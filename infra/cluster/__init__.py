"""Switchboard on a Kubernetes cluster: what `switchboard deploy` and `switchboard doctor --cluster` do, by way of kubectl and kn."""

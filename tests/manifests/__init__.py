"""What clusters get: rendered manifests against the schemas and rules they must meet, and the gateway as the real Envoy."""

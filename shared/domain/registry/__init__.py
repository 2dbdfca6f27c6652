"""The registry: clusters and the backbones in them, as they are declared, checked, and seen to be (contracts.md, "Registry")."""

"""What runs: one folder a deployable, in the order of README.md. pipeline.py is the order of a message's stages."""

"""What runs Switchboard and what talks to it from a shell: the command line, the local servers, images and manifests."""

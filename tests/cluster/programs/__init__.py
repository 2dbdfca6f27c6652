"""What runs in pods of the cluster on behalf of the tests: the files are mounted, and run with the core image's Python."""

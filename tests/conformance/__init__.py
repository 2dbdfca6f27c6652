"""One behavioural suite a port, run on the memory adapter and on the real one."""

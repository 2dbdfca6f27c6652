"""The NATS door as its users meet it: a process on real servers, and NATS clients that publish and ask."""

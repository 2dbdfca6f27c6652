"""What the functions share: the domain's rules, the ports, the adapters, the codec and the edge."""

"""How the C in shared/speedups is compiled, wherever there is a C compiler."""

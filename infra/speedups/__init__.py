"""How shared/speedups/speedups.c is compiled, wherever there is a C compiler."""

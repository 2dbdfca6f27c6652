"""What every decoder is held to, whatever comes: `make fuzz`, and a short run of the same in the tests."""

"""Faults, and what must hold through them (reliability.md of the design): the product as a whole, on servers of its own."""

"""Speed, against a reference in the same run (performance.md of the design): `make bench`, never a timed test in the suite."""

"""One folder a vendor; each adapter implements a port of shared/ports/."""

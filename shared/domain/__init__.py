"""Pure rules, no I/O: what a message is, how it is named, judged, routed and written down."""

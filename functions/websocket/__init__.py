"""Pod: the live feed over WebSocket, and the page that shows it. Triggered by GET /v1/feed; reads the feed stream."""

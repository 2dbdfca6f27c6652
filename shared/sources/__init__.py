"""What the event sources (Redis lists, NATS subjects) share: where a message goes, what becomes of it, and how they hold back."""

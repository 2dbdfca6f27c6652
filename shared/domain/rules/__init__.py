"""What messages are judged by: rules compiled from config documents, and the order they are asked in."""

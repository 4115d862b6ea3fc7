"""What the pages show, read from Redis with bounds; nothing is changed there."""

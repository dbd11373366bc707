"""What a server tells of itself: metrics, the log of requests."""

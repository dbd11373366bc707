"""What sglite tells about itself: one stream of typed events, and those who listen to it.

Receives events from scheduler and cache · hands on logs, narration, counters · does not know
about tensors, text or sockets.
"""

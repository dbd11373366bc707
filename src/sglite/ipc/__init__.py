"""Between those who ask and the engine: one interface, whatever lies between.

Receives requests and aborts · hands on output batches · does not know about text or HTTP.
"""

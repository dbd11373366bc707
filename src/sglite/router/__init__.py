"""Which of several engines gets a request.

Receives what is known of requests and engines · hands on the number of an engine · does not know
about sockets, processes or HTTP, and reads no clock: time is handed in.
"""

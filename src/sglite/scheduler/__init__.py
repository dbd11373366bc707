"""Step 3 of 8 · who runs, and how much of it.

Receives requests, aborts and the results of steps · hands on step plans and outputs · does not
know about tensors, text, clocks or sockets: time and random seeds are handed in.

Read ``plan`` (the contract), ``sequence`` (the state of a request), then ``scheduler``.
"""

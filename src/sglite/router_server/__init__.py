"""`sglite router`: several servers behind one address.

Receives calls over HTTP · hands each on to a worker, a server of its own, and its answer back as it
comes · does not know about models, tokens or engines, and looks into a prompt only to choose.
"""

"""The processes of one engine's ranks: how they start, hear the plan, and end.

Receives plans from the engine's executor · hands on what the ranks drew · does not know about
scheduling or requests. Rank 0 is the engine's own process.
"""

"""Engines as actors of a Ray cluster, on whichever of its machines has room.

    ProcessClient ── local socket ── Tunnel ──[ calls of the actor ]── ReplicaActor ── engine

Ray places the actors, restarts them, and carries bytes and plain dicts between us, nothing else of
ours. Only ``ray_cluster`` imports Ray.
"""

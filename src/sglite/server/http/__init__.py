"""HTTP itself, whichever protocol it carries: bodies, keys, errors, event streams, dispatch."""

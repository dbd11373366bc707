"""The parts of the suite: ``run(suite)`` of the module of its name is all of a part."""

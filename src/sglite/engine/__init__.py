"""Step 5 of 8 · the step: plan, launch, sample, commit.

Receives requests and aborts · hands on token ids and terminal events · does not know about text,
sockets or files.

Read ``engine`` (the loop), then the package ``executors`` (what carries its plans out).
"""

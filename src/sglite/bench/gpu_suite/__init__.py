"""One command for a GPU that is there for minutes: what works on it, and how fast.

    python -m sglite.bench.gpu_suite --out DIR

Receives a machine · hands on figures, checks and a trace · does not know about servers or text.
The parts stand in ``part_table`` by value; each runs in a child process with a limit of time, and
what it found is on the disk after every line of it. Needs torch and numpy; Triton, transformers,
FlashInfer and FlashAttention where they are installed.
"""

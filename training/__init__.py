"""How the model that ships with sglite is made: corpus, tokenizer, training, evaluation.

This package is not installed: it is run from the repository's root, one command per stage
(`python -m training.make_corpus`, `.train`, `.evaluate`), and its result is the model directory
`src/sglite/embedded/`. See README.md for commands, times and figures.
"""

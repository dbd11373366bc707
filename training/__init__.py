"""How the model that ships with sglite is made: corpus, tokenizer, training, shipping.

This package is not installed: it is run from the repository's root, one command per stage
(`python -m training.make_corpus`, `.sweep`, `.train`, `.ship`), and its result is the model
directory `src/sglite/embedded/`, which `sglite eval` measures. See README.md.
"""

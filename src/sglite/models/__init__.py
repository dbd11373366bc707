"""Step 6 of 8 · token ids become hidden states and logits.

Receives a ``ForwardBatch`` and the ``KVPool`` · hands on logits · does not know about requests,
scheduling or text. A model family is a declaration: ``DecoderSpec`` says what it is, ``Decoder``
builds it, the weight map says which checkpoint tensor goes where.

Read in this order: ``spec``, ``llama`` (a family), ``decoder``, ``weight_map``.
"""

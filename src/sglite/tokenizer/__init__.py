"""Step 2 and step 8 of 8 · text to token ids, and back.

Receives prompts and chats (step 2), token ids of a running request (step 8) · hands on token ids;
text that is safe to show · does not know about the scheduler, tensors or sockets.

Read in this order: ``files`` (what a model directory says), ``tokenizer`` and ``loading``,
``messages`` and ``chat_template`` (a chat becomes a prompt), ``decoders`` and ``detokenizer``
(ids become text, token by token), ``stop_patterns`` and ``stop_checker`` (where the text ends),
``text_assembler`` (what a caller may see of it).
"""

from sglite.tokenizer.detokenizer import IncrementalDetokenizer
from sglite.tokenizer.loading import load_tokenizer
from sglite.tokenizer.stop_checker import StopChecker
from sglite.tokenizer.text_assembler import TextAssembler
from sglite.tokenizer.tokenizer import Tokenizer

__all__ = ["IncrementalDetokenizer", "StopChecker", "TextAssembler", "Tokenizer", "load_tokenizer"]

"""Step 4 of 8 · where the KV of every token lives.

Receives token ids and counts from the scheduler · hands on page ids · does not know about
requests, time or text. Only ``kv_pool`` knows tensors.

Read in this order: ``groups`` (which layers share a page table), ``page_allocator`` (who owns a
page), ``radix_tree`` (which prefixes are kept), ``cache_manager`` (the façade), ``kv_pool``.
"""

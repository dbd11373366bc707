"""Part of step 6 · the operations that exist in more than one implementation.

Receives tensors · hands on tensors · does not know about models or requests. Each operation is a
package: ``__init__`` owns signature, shape contract and dispatch, ``reference`` is the plain torch
specification, the other files are fast paths that are tested against it.
"""

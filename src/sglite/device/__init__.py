"""What an executor needs of an accelerator: a stream of work, events, graphs, pinned memory.

Part of step 6. Receives work as functions over tensors · hands on the order in which it is done ·
does not know about models, plans or requests. Behind it is one GPU; tests put a double there.
"""

from sglite.device.device import Device, Event, Graph
from sglite.device.staging import Layout, Staging

__all__ = ["Device", "Event", "Graph", "Layout", "Staging"]

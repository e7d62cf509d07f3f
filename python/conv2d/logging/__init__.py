"""What a run writes down: JSON lines, counters, and the protocol by which long work says how far it is.

Nothing here is imported before it is used: ``conv2d.logging.structured`` writes the log, ``conv2d.logging.counters``
counts, ``conv2d.logging.progress`` is what long work reports to. The standard library's ``logging`` is left alone: no
handler is added, no level set.
"""

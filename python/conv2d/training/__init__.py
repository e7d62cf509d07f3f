"""The engine: a ``Task`` in, a run directory out. It knows no task by name (torch, Lightning)."""

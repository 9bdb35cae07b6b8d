"""The PLC station: a supervisor that answers every trigger of a controller exactly once, and OK only on evidence."""

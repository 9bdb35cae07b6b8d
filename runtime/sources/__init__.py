"""Sources of frames, one module a kind; `csflow.runtime.source.open_source` imports them on demand."""

"""The command line: what all commands share, and the runtime's own."""

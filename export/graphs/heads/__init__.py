"""The graph of each method's head: a module or a folder a method, a row of `csflow.export.graphs.methods` each."""

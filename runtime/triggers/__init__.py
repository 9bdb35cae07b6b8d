"""What asks for a result: a line, a request over HTTP, an edge."""

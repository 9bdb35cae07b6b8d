"""OPC UA: a server with encrypted endpoints only, for clients whose certificates are trusted."""

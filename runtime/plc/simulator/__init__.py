"""The other side of the handshake: a controller, the parts on its line, and a link that loses, doubles and keeps."""

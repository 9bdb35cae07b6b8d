"""Networks that turn a picture into features, and where their weights come from."""

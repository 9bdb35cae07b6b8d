"""Commands about pictures: taking them, and what of them the model looks at."""

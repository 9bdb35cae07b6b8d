"""Reading CS-Flow models that other code bases trained, and turning them into bundles."""

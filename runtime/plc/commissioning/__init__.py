"""For whoever puts a cell into service: the settings examined, and what happens in sentences."""

"""Pictures with known answers: folders, masks, where they came from."""

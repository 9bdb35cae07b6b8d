"""How good a model is on pictures with known answers, as numbers, plots and a page."""

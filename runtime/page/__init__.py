"""The live page and the metrics: a small web server over the results of a run."""

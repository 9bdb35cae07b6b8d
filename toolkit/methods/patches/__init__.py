"""Multi-scale patches (Tsai, Wu, Lai, WACV 2022): embeddings of patches, and the nearest of good ones."""

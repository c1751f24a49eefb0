"""What makes an answer trustworthy: intervals, ensembles, support, scores, limits. Numpy only at import."""

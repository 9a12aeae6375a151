"""What a classifier's features are worth: how useful, how robustly so, and what they do to its answers."""

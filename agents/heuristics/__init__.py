"""Rules: schedulers that need no training, one family a file, NumPy only."""

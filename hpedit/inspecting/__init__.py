"""What a data set holds and what is wrong with it, seen in one pass."""

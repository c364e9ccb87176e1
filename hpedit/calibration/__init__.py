"""Stage 1 of the paper: how well a scorer agrees with people, and how to make it agree better."""

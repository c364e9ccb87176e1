"""Stage 2 of the paper: from folders of photographs to RealPref, as a chain of stages that can be killed and go on."""

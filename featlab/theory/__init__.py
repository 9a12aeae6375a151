"""Models of data on which everything about robust features can be computed: formulas, and numbers that check them."""

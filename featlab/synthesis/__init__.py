"""How good the pictures are that a classifier makes: by an independent judge, as a set, and one by one.

A distance between sets is taken in the features of whatever net the caller names, and is never the published FID or
KID, which are those of one Inception net: such numbers compare rows of one table and nothing else.
"""

"""Symbolic theory: expressions that are scrambled and unscrambled, judged exactly, with learned or classical search."""

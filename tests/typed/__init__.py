"""
Programs with annotations, for Python 3 alone: what type checkers have to accept, and what they have to refuse.
"""

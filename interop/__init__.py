"""
What the published packages and ours say to each other over real UDP.
"""

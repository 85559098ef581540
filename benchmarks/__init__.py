"""
How fast it is, and how it lasts.
"""

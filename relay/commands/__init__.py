"""What does each command of `relay` do?

Reads its arguments, calls what does the work, and prints.
"""

"""What helps those who work on the program and is no part of it."""

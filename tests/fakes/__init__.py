"""What stands on the other side in tests: real servers, scripted."""

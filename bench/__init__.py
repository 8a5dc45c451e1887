"""How fast is the relay, as a share of what the machine could do bare? Run by `make bench`."""

"""What may be seen and what may be done: the only way from a tool to Lofty."""

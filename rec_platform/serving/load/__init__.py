"""How fast the service is: a load generator, what it is pointed at, and what is made of its answers."""

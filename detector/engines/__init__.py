"""How a set of inputs is worked through."""

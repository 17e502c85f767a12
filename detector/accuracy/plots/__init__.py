"""Pictures of figures, for people: legible in grey and by all kinds of colour vision, the same bytes for the same figures."""

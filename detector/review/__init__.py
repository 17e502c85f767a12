"""The review of a count: the page on which a person looks at cells and corrects them, and what comes of it."""

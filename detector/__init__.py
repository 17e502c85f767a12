"""Find and count red cells, white cells and platelets in photographs of blood smears."""

"""What two images are to each other, before anything is fused, and what follows from it."""

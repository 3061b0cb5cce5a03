"""What is found out about a scene: displacement, sharpness, instruments, scale and bands."""

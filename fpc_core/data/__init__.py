"""Read datasets, images and ground truth, and render occluders."""

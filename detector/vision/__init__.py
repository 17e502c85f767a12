"""Cells, images, boxes, tiles, detections and the model that finds them."""

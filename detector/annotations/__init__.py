"""Pascal VOC, YOLO and COCO to and from one record type, and what is wrong in them."""

"""Where frames come from: cameras, addresses, videos, folders, Micro-Manager and a simulated microscope."""

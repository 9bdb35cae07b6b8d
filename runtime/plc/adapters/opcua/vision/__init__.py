"""The Machine Vision companion (OPC 40100-1, VDMA 40100-1): the part of its types that csflow fills with life."""

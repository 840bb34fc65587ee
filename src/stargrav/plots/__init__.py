"""stargrav.plots"""

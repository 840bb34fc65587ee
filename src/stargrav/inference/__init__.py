"""stargrav.inference"""

"""stargrav.training"""

"""stargrav.physics"""

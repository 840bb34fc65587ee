"""stargrav.metrics"""

"""stargrav.data"""

"""stargrav.experiments"""

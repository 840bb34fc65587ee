"""stargrav.observation"""

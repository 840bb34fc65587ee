"""stargrav.models"""

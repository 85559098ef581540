"""
The promises of rpcudp, a test for each.
"""

from rpcudp import version as version, version_info as version_info

__all__ = ["version", "version_info"]

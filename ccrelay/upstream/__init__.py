"""Connections to providers: dial, TLS, proxies, pools."""

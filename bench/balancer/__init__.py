"""Sluice's balancer beside other proxies, in front of the same backends."""

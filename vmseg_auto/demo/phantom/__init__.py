"""Phantom heads with venous malformations that grow from a seed."""

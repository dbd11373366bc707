"""DP-attention: the requests of one engine divided among its ranks.

Receives requests and the results of joint steps · hands on one plan for each rank · does not know
about processes or tensors.
"""

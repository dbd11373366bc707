"""The machine's cores, and the threads that compute on them."""

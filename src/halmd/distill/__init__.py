"""`halmd distill`: a small, fast student potential from a large teacher."""

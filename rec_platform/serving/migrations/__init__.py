"""The steps from every version of the store's schema to the next, run by Alembic when a store is opened.

A step is ``versions/vNNNN_name.py`` with the revision ``NNNN``; a store that is there is never made anew. What a step
adds has a default on the server, so that a replica of the version before can go on writing while others are replaced.
"""

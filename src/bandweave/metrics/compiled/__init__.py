"""The metrics' inner loops as machine code, for where numba is installed (extra `fast`).

A file per subject, each closed in itself: numba keeps compiled code beside the source file and
makes it anew when that file changes, whatever other files it calls.
"""

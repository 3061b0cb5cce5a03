"""The metrics' inner loops as machine code, for where numba is installed (extra `fast`).

`pixels`, `moments`, `edges`, `blocks` and `similarity` are called from Python, once per image, and
hold one compiled loop each. `similarity` alone takes helpers from other files: `dealt_rows`,
`box_windows` and `gaussian_windows`. Numba keeps compiled code beside the source file and makes it
anew when that file changes, whatever other files it calls: `similarity` holds a hash of theirs.
`jit` says how all of them are compiled.
"""

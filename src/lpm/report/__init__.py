"""Reports: from the records of runs to one self-contained HTML page.

`plots` draws, `display` turns jets into a scene to rotate, `page` puts sections together into one file that needs no
network, and `runs` reads the records and decides what is shown. This is the only package that imports matplotlib.
"""

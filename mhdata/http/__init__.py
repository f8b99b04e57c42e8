"""The HTTP door: `mhdata serve`. `app.create_app` makes the application, `server.run` serves it.

A module with routes gives an APIRouter named `router`; `app.py` mounts it. Every path under /api needs the token:
`app.py` sees to it, a router has nothing to do for that. In a route:

    from mhdata.http.context import Here       # `where: Here` is the Workspace
    from mhdata.http.problems import Problem   # `raise Problem(404, "there is no row 12ab")` answers RFC 9457

The page is mhdata/web/index.html at `/`, and what it loads stands under /static; no script or style stands inline.
A PipelineError that leaves a route becomes a problem with its sentence; any other error one without a word of it.
"""

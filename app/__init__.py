"""Inkblot shows what an image classifier sees. Three rings, imports in one direction:

    api      HTTP: fastapi and pydantic; never torch, PIL or a database
    jobs     slow work: the durable queue, the engine that runs many algorithms at once; never fastapi, never settings
    vision   pure PyTorch, usable from a notebook; never fastapi, never settings

Around them: `settings` reads the environment once, `wiring` puts the rings together, `main` is the HTTP
application, `process` what a process is (the worker, by default a child of the service), `cli` and `client`
are for people and programs that talk to it. docs/architecture.md has a drawing.
Pixels are floats `(3, H, W)` in [0, 1] everywhere inside `vision`; a *canvas* is what the network
gets, a *picture* what a user uploads, and `vision.image` is the only way from one to the other.
"""

__version__ = "0.1.0"

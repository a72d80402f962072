"""A model behind an HTTP address: images are posted, labels with certified radii come back (docs/serving.md)."""

from radii.errors import missing_extra

try:
    import fastapi  # noqa: F401  (so that every module below may import it plainly)
    import prometheus_client  # noqa: F401
    import uvicorn  # noqa: F401
except ImportError as cause:
    raise missing_extra("radii serve", "serve", cause) from cause

from radii.serving.app import Limits, listen, make_app, run
from radii.serving.batcher import Desk
from radii.serving.service import Answer, Service

__all__ = ["Answer", "Desk", "Limits", "Service", "listen", "make_app", "run"]

"""A model behind an HTTP address: clients post images and receive labels with certified radii (docs/serving.md)."""

from radii.errors import missing_extra

try:
    import fastapi  # noqa: F401  (here, so that all modules below may import it plainly)
    import prometheus_client  # noqa: F401
    import uvicorn  # noqa: F401
except ImportError as cause:
    raise missing_extra("radii serve", "serve", cause) from cause

from radii.serving.app import Limits, listen, make_app, run
from radii.serving.batcher import Batcher
from radii.serving.service import Answer, Service

__all__ = ["Answer", "Batcher", "Limits", "Service", "listen", "make_app", "run"]

"""What a request is answered if it gets no label: a status of HTTP and one sentence."""

from collections.abc import Mapping

from radii.addresses import without_keys


class Refusal(Exception):
    """A request that cannot be answered: its status, its sentence, and headers that go with them."""

    def __init__(self, status: int, sentence: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(without_keys(sentence))
        self.status, self.headers = status, dict(headers or {})

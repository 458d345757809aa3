import resource

import pytest

from ccrelay.runtime.open_files import raise_open_file_limit


@pytest.fixture
def kernel(monkeypatch):
    """A kernel that grants up to `most`."""

    def kernel(soft, hard, most):
        limits = [soft]

        def set_limit(which, wanted):
            if wanted[0] == resource.RLIM_INFINITY or wanted[0] > most:
                raise ValueError("not allowed to raise maximum limit")
            limits[0] = wanted[0]

        monkeypatch.setattr(resource, "getrlimit", lambda which: (soft, hard))
        monkeypatch.setattr(resource, "setrlimit", set_limit)
        return limits

    return kernel


@pytest.mark.parametrize(
    ("soft", "hard", "most", "raised_to"),
    [
        (1024, 524_288, 524_288, 524_288),
        (256, resource.RLIM_INFINITY, 10_240, 10_240),  # macOS
        (4096, 4096, 4096, 4096),
        (1024, 4096, 1024, 1024),  # refused: the limit stays
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, 0, resource.RLIM_INFINITY),
    ],
)
def test_the_soft_limit_is_raised_as_far_as_the_kernel_allows(kernel, soft, hard, most, raised_to):
    limits = kernel(soft, hard, most)
    assert raise_open_file_limit() == raised_to
    assert limits == [raised_to]

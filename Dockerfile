# The relay in a container: `docker build -t ccrelay .`, then compose.example.yaml.
#
# The first stage has a compiler and makes wheels; the second one installs them and nothing else, and
# runs as a user without rights. For clouds: --build-arg EXTRAS=clouds

ARG PYTHON=3.13-slim-bookworm

FROM python:${PYTHON} AS wheels
ARG EXTRAS=
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY pyproject.toml setup.py README.md LICENSE ./
COPY ccrelay ./ccrelay
# What this builds is this source only; all else has to be there as wheels.
RUN pip wheel --no-cache-dir --only-binary=:all: --wheel-dir /wheels ".${EXTRAS:+[$EXTRAS]}"

FROM python:${PYTHON}
ARG EXTRAS=
RUN --mount=type=bind,from=wheels,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-index --find-links=/wheels "ccrelay-proxy${EXTRAS:+[$EXTRAS]}" \
    && groupadd --gid 10001 ccrelay \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /config ccrelay \
    && install --directory --owner=10001 --group=10001 --mode=0700 /config /state
# The configuration and its keys; the ledger, the revisions and the socket of the management API.
ENV CCRELAY_CONFIG=/config/config.yaml \
    STATE_DIRECTORY=/state \
    HOME=/config \
    PYTHONDONTWRITEBYTECODE=1
VOLUME ["/config", "/state"]
USER 10001:10001
WORKDIR /config
EXPOSE 8787
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8787/health', timeout=4)"]
ENTRYPOINT ["ccrelay"]
CMD ["serve"]

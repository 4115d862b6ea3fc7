# The service in a container. Two stages: what installs is not in what runs.
# Nothing is compiled: every pinned dependency has a wheel, and pip is told to take nothing else.
# Tag and digest, of the index for all architectures: what is built tomorrow is what was built today. To renew both:
#   docker buildx imagetools inspect python:3.13-slim-trixie --format '{{.Manifest.Digest}}'
ARG PYTHON=3.13.15-slim-trixie@sha256:9d2e5553305c7c7b0097999bb17187c69b921ccd6bc9d40e4bb5ebe652c00285

FROM python:${PYTHON} AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/*
# The lock alone first: while it is unchanged, this layer comes from the cache whatever else changes.
COPY requirements.lock /build/requirements.lock
RUN python -m venv --without-pip /venv \
    && python -m pip --python /venv/bin/python install --no-cache-dir --disable-pip-version-check \
        --require-hashes --no-deps --only-binary :all: --requirement /build/requirements.lock

FROM python:${PYTHON}
COPY --from=build /usr/bin/tini-static /usr/local/bin/tini
COPY --from=build /venv /venv
WORKDIR /app
COPY tools tools
COPY jobs jobs
COPY producer producer
COPY worker worker
# Compiled here, because the root file system may be read-only and the user may not write it anyway.
RUN python -m compileall -q /app
# Two heaps for all threads, where glibc gives each its own: Python's lock lets one of them run anyway.
ENV PATH=/venv/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    MALLOC_ARENA_MAX=2 \
    PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=6s --start-period=60s --retries=3 CMD ["python", "-m", "worker.health.probe"]
# tini is PID 1: it passes signals on and reaps what jobs leave behind.
ENTRYPOINT ["tini", "--"]
CMD ["python", "-m", "worker"]

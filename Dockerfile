# syntax=docker/dockerfile:1
# Two stages: wheels are built with a compiler at hand, and the image that serves has none. No torch in it: serving is numpy.
FROM python:3.11-slim AS build
WORKDIR /src
COPY pyproject.toml requirements.lock README.md LICENSE activating.py quickstudy.py replaying.py retraining.py terminal.py ./
COPY meta meta
COPY protos protos
COPY replay replay
COPY service service
COPY simulators simulators
RUN python -m venv /opt/quickstudy \
    && /opt/quickstudy/bin/pip install --no-cache-dir --constraint requirements.lock .

FROM python:3.11-slim
LABEL org.opencontainers.image.title="quickstudy" org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --system --uid 10001 --home-dir /var/lib/quickstudy --create-home quickstudy
COPY --from=build /opt/quickstudy /opt/quickstudy
ENV PATH=/opt/quickstudy/bin:$PATH PYTHONUNBUFFERED=1
USER quickstudy
WORKDIR /var/lib/quickstudy
# 50051 gRPC, 9464 Prometheus. Mount a policy folder at /policy (or run with `serve --policies`, a folder or URL of versions), and a volume at /var/lib/quickstudy where no --redis is given.
EXPOSE 50051 9464
VOLUME /var/lib/quickstudy
STOPSIGNAL SIGTERM
# An address that others can reach is refused without certificate and tokens (docs/security.md). Give them as QUICKSTUDY_TLS_* and
# QUICKSTUDY_ACCESS_*, or add --insecure where the network itself is trusted.
ENTRYPOINT ["quickstudy"]
CMD ["serve", "--policy", "/policy", "--host", "0.0.0.0", "--data-dir", "/var/lib/quickstudy"]

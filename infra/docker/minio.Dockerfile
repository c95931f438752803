# MinIO, built from its Go module: the project publishes source only. It is under the AGPL and stays a program of its own, never linked into ours.
# The build takes about three minutes on two cores.
ARG GO_IMAGE=golang:1.26.8-bookworm
ARG DEBIAN_IMAGE=debian:bookworm-20260918-slim

FROM ${GO_IMAGE} AS build
ARG MINIO_VERSION=v0.0.0-20260212201848-7aac2a2c5b7c
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOBIN=/out go install -trimpath -ldflags "-s -w" github.com/minio/minio@${MINIO_VERSION}

FROM ${DEBIAN_IMAGE} AS minio
ARG MINIO_VERSION=v0.0.0-20260212201848-7aac2a2c5b7c
LABEL org.opencontainers.image.title="minio" \
      org.opencontainers.image.source="https://github.com/minio/minio" \
      org.opencontainers.image.licenses="AGPL-3.0-only" \
      org.opencontainers.image.version="${MINIO_VERSION}"
# curl is what the health check asks with. A named volume at /data takes the owner of the image's folder over.
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ca-certificates curl \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log \
 && install -d -o 65532 -g 65532 -m 0700 /data
COPY --from=build /out/minio /minio
# It looks for its certificates below HOME, and does not start without one.
ENV HOME=/tmp
USER 65532:65532
WORKDIR /
VOLUME /data
EXPOSE 9000
HEALTHCHECK --interval=10s --timeout=6s --start-period=60s --retries=3 CMD ["curl", "-fsS", "-o", "/dev/null", "http://127.0.0.1:9000/minio/health/live"]
ENTRYPOINT ["/minio"]
CMD ["server", "/data", "--address", ":9000"]

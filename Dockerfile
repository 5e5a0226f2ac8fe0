# roomcast in an image: one binary on distroless, as a user without a name or a shell.
#
#   docker build -t roomcast --build-arg VERSION=0.1.0 --build-arg REVISION="$(git rev-parse HEAD)" .
#   docker run --rm roomcast --version
#
# Images are named by their versions. Before a release, add the digests that `docker buildx imagetools inspect` prints (image:tag@sha256:…).

# The version that Cargo.toml asks for (rust-version). rust-toolchain.toml stays out of the build, for rustup would fetch another one.
ARG RUST=1.95.0

FROM rust:${RUST}-slim-trixie AS chef
# Without tables of lines, which are three quarters of the program: a new node is there sooner. Panics say where they were anyway.
ENV CARGO_TERM_COLOR=never CARGO_INCREMENTAL=0 CARGO_PROFILE_RELEASE_DEBUG=false CARGO_PROFILE_RELEASE_STRIP=debuginfo
RUN cargo install cargo-chef --version 0.1.78 --locked
WORKDIR /build

# What the dependencies are. The recipe changes with the manifests and the lock file, and with nothing else.
FROM chef AS planner
COPY . .
RUN cargo chef prepare --recipe-path recipe.json

# The dependencies are a layer of their own: a change in src/ does not build them again.
FROM chef AS builder
COPY --from=planner /build/recipe.json recipe.json
RUN cargo chef cook --release --locked --bin roomcast --recipe-path recipe.json
COPY . .
RUN cargo build --release --locked --bin roomcast \
    && install -D target/release/roomcast /image/usr/local/bin/roomcast \
    && install -d -m 0700 /image/var/lib/roomcast

# glibc of Debian 13, as in the builder; certificates and time zones are in it.
FROM gcr.io/distroless/cc-debian13:nonroot AS roomcast
COPY --from=builder /image/usr/local/bin/roomcast /usr/local/bin/roomcast
COPY --from=builder --chown=65532:65532 /image/var/lib/roomcast /var/lib/roomcast
# A number, so that Kubernetes can see that it is not root (runAsNonRoot).
USER 65532:65532
# Where DATABASE_URL=sqlite:roomcast.sqlite is kept. Nothing else is ever written.
WORKDIR /var/lib/roomcast
VOLUME ["/var/lib/roomcast"]
# Operators' address: in a container loopback would be out of reach for Prometheus and for the kubelet. Do not publish this port.
ENV ROOMCAST_ADMIN_LISTEN=0.0.0.0:3001
EXPOSE 3000 3001
# The drain begins; it takes up to ROOMCAST_DRAIN_DEADLINE (40 s), so give it `docker stop --timeout 50`.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=15s --retries=3 CMD ["/usr/local/bin/roomcast", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/roomcast"]
CMD ["serve"]

# Last, as they change with each build.
ARG VERSION=unknown
ARG REVISION=unknown
ARG CREATED=unknown
LABEL org.opencontainers.image.title="roomcast" \
    org.opencontainers.image.description="A realtime room server: Socket.IO, plain WebSocket and HTTP publishers share rooms." \
    org.opencontainers.image.licenses="MIT OR Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.created="${CREATED}" \
    org.opencontainers.image.base.name="gcr.io/distroless/cc-debian13:nonroot"

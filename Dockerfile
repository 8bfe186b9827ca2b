# The server, the client and the engine in one image. Build: docker build -t nashswarm:0.1.0 .
# (podman and buildah need --format docker: their own format leaves the health check out.)
# The server refuses to listen openly without TLS and without asking who calls: give it certificate, key and tokens
# (docs/operations.md, "Access"), or say --insecure-listen-anywhere where nobody else can connect.
FROM debian:bookworm-slim AS build
COPY deploy/install-packages.sh /src/deploy/
RUN /src/deploy/install-packages.sh programs
COPY . /src
WORKDIR /src
# Whoever mounts a ccache here builds faster.
ENV CCACHE_DIR=/ccache CCACHE_BASEDIR=/src CCACHE_SLOPPINESS=pch_defines,time_macros
RUN cmake --preset release -DNASHSWARM_TESTS=OFF -DNASHSWARM_BENCH=OFF && \
    cmake --build --preset release --target programs && \
    mkdir /out && cp build/release/bin/nashswarm build/release/bin/nashswarmd build/release/bin/nashswarm-engine /out && \
    strip /out/*

FROM debian:bookworm-slim
LABEL org.opencontainers.image.title="nashswarm" \
      org.opencontainers.image.description="Compresses large language model checkpoints to GGUF or nsq, as a gRPC service" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.base.name="docker.io/library/debian:bookworm-slim"
RUN apt-get update -qq && \
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends ca-certificates libcurl4 \
      libfmt9 libgrpc++1.51 libhwy1 libisal2 libopenblas0-pthread libpcre2-8-0 libpq5 libprometheus-cpp-core1.0 libprotobuf32 \
      libpugixml1v5 libre2-9 libsentencepiece0 libspdlog1.10 libsqlite3-0 libssl3 libutf8proc2 libyaml-cpp0.7 >/dev/null && \
    rm -rf /var/lib/apt/lists/* && \
    groupadd --gid 10001 nashswarm && \
    useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/nashswarm --shell /usr/sbin/nologin nashswarm && \
    install -d -o nashswarm -g nashswarm /var/lib/nashswarm
COPY --from=build /out/ /usr/local/bin/
COPY LICENSE /usr/share/doc/nashswarm/
# By number, so that Kubernetes can see that it is not root. Nothing else than these two directories is written to, and the root
# file system may be read-only.
USER 10001:10001
VOLUME ["/var/lib/nashswarm", "/tmp"]
ENV NASHSWARM_DATA=/var/lib/nashswarm NASHSWARM_LISTEN=0.0.0.0:7070 NASHSWARM_METRICS=0.0.0.0:7071
EXPOSE 7070 7071
# bash speaks enough HTTP: there is no curl in the image.
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/7071 && printf 'GET /readyz HTTP/1.0\\r\\n\\r\\n' >&3 && read -r line <&3 && [[ $line == *' 200 '* ]]"]
ENTRYPOINT ["nashswarmd"]

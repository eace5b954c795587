# The image holds one static binary, the roots of trust and a user; no shell, no package manager.
# Build it with `make image`.
FROM --platform=$BUILDPLATFORM golang:1.26.8-bookworm AS build

WORKDIR /src

# Modules first: they change less often than code.
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download

COPY . .

ARG TARGETOS
ARG TARGETARCH
ARG VERSION=devel
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -buildvcs=false \
    -ldflags "-s -w -X github.com/ostiary/ostiary/internal/app.version=$VERSION" -o /out/ostiary .

RUN printf 'nonroot:x:65532:65532:nonroot:/:/sbin/nologin\n' >/out/passwd \
    && printf 'nonroot:x:65532:\n' >/out/group

FROM scratch

LABEL org.opencontainers.image.title="Ostiary" \
      org.opencontainers.image.description="Kubernetes ingress controller that verifies JSON Web Tokens at the door" \
      org.opencontainers.image.source="https://github.com/ostiary/ostiary" \
      org.opencontainers.image.licenses="Apache-2.0"

COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/passwd /out/group /etc/
COPY --from=build /out/ostiary /ostiary

# Numeric, so that runAsNonRoot can be checked without reading /etc/passwd.
USER 65532:65532

# http, https, admin (probes and metrics)
EXPOSE 8080 8443 9090

ENTRYPOINT ["/ostiary"]
CMD ["controller"]

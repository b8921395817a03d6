# syntax=docker/dockerfile:1

# The program alone, for the system that the image is for:
#
#   docker build -t poolfill .
#   docker run --rm -i poolfill upload - --emulator --no-spec < tasks.tsv
#
# State and reports are in /var/lib/poolfill: give it a volume, or each container
# forgets what the ones before it have uploaded.

FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG TARGETOS TARGETARCH
# "VERSION COMMIT DATE", where the sources come without .git.
ARG RELEASE=""
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -buildvcs=auto -pgo=off -ldflags "-s -w -X 'main.release=$RELEASE'" -o /out/poolfill ./cmd/poolfill
# Mounted volumes take over the owner of the folder that they cover.
RUN mkdir -p /out/state /out/tmp && chmod 0700 /out/state && chmod 1777 /out/tmp

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/tmp /tmp
COPY --from=build --chown=65532:65532 /out/state /var/lib/poolfill
COPY --from=build /out/poolfill /usr/bin/poolfill
ENV POOLFILL_STATE_DIR=/var/lib/poolfill
WORKDIR /var/lib/poolfill
VOLUME /var/lib/poolfill
USER 65532:65532
ENTRYPOINT ["/usr/bin/poolfill"]

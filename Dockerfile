# The image that `make image` makes, by a container engine. `make dockerfile` compares what the two put in.
FROM rust:1.95.0-bookworm AS build
ARG TARGETARCH GIT_COMMIT
WORKDIR /source
COPY . .
RUN make image ARCH=$TARGETARCH

FROM scratch
ARG TARGETARCH
COPY --from=build /source/target/image/$TARGETARCH/ /
USER 65532:65532
ENTRYPOINT ["/identity-injector"]

# The checkout with the environment of requirements.lock in it:
#   docker build -t bkdsnn .                          (--build-arg TORCH=cuda for a GPU, with --gpus all at docker run)
#   docker run --rm -it --shm-size=2g bkdsnn make repro
FROM python:3.11-slim-bookworm

# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --no-install-recommends -y g++ git make \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /bkdsnn
COPY Makefile requirements.lock ./
ARG TORCH=cpu
RUN make setup TORCH="$TORCH" PYTHON=python

COPY . .
CMD ["make", "help"]

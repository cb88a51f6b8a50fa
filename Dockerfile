# molrecon on a processor, or on a GPU with --gpus all:
#   docker build -t molrecon .
#   docker run --rm -v "$PWD":/data molrecon reconstruct scan.cfl -o image.nii.gz
# For machines without a GPU, a smaller PyTorch: --build-arg TORCH_INDEX=<address of its CPU wheels>
FROM python:3.12-slim
ARG TORCH_INDEX=""
ENV PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /opt/molrecon
COPY constraints.txt pyproject.toml README.md LICENSE ./
RUN if [ -n "$TORCH_INDEX" ]; then pip install --index-url "$TORCH_INDEX" torch; fi
COPY src ./src
RUN pip install --constraint constraints.txt ".[mri,nufft]" && useradd --create-home molrecon
USER molrecon
WORKDIR /data
ENTRYPOINT ["molrecon"]
CMD ["--help"]

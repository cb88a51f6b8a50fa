# molrecon on a processor, or on a GPU:
#   docker build -t molrecon .
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD":/data molrecon reconstruct scan.cfl -o image.nii.gz
#   docker build -t molrecon-gpu --build-arg TORCH_INDEX=https://pypi.org/simple .   (several GB larger)
#   docker run --rm --gpus all … molrecon-gpu …
FROM python:3.12-slim-bookworm
# PyTorch for processors; that of PyPI brings CUDA.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
# Matplotlib and PyTorch keep what they compute in folders that any user may write to.
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 HOME=/tmp MPLCONFIGDIR=/tmp/matplotlib
WORKDIR /opt/molrecon
COPY constraints.txt pyproject.toml README.md LICENSE ./
# Of the constraints' version, which the next step is content with; its dependencies come from PyPI then.
RUN pip install --no-deps --index-url "$TORCH_INDEX" --constraint constraints.txt torch
COPY src ./src
RUN pip install --constraint constraints.txt ".[mri,nufft]" \
    && useradd --create-home molrecon
USER molrecon
WORKDIR /data
ENTRYPOINT ["molrecon"]
CMD ["--help"]

# docker build -t inkblot .                                     with CUDA (also runs without a GPU)
# docker build -t inkblot --build-arg TORCH_BACKEND=cpu .       smaller, for machines without one
ARG PYTHON=3.11-slim-bookworm

FROM python:${PYTHON} AS needs
# The names of the dependencies alone, so that a change of anything else in pyproject.toml installs nothing anew.
WORKDIR /src
COPY pyproject.toml .
RUN python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" \
    > requirements.in

FROM python:${PYTHON} AS dependencies
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy VIRTUAL_ENV=/opt/venv
RUN pip install --no-cache-dir "uv==0.13.9" && uv venv "$VIRTUAL_ENV"
WORKDIR /src
COPY requirements.lock .
COPY --from=needs /src/requirements.in .
# The lock pins the registry's default build; another has other hashes and needs, so there the lock only constrains.
ARG TORCH_BACKEND=""
RUN --mount=type=cache,target=/root/.cache/uv \
    if [ -z "$TORCH_BACKEND" ]; then \
        uv pip install --require-hashes -r requirements.lock; \
    else \
        uv pip install --torch-backend "$TORCH_BACKEND" --no-verify-hashes -c requirements.lock -r requirements.in; \
    fi
# What the service never loads: PyTorch's headers, OpenVINO's plugins for other devices than the CPU with their kernels,
# and its readers of other formats than PyTorch's and its own (140 MB); of a build with CUDA also the compiler for
# torch.compile, headers, and libraries that PyTorch is not linked to (1.3 GB).
RUN cd "$VIRTUAL_ENV"/lib/python3*/site-packages && rm -rf \
    torch/include \
    triton \
    nvidia/*/include \
    nvidia/*/lib/*.a \
    nvidia/*/lib/libcusolverMg.so.* \
    nvidia/nvshmem/lib/libnvshmem_device_*.bc \
    openvino/libs/cache.json \
    openvino/libs/libopenvino_intel_[gn]pu_plugin.so \
    openvino/libs/libopenvino_gguf_frontend.so* \
    openvino/libs/libopenvino_jax_frontend.so* \
    openvino/libs/libopenvino_onnx_frontend.so* \
    openvino/libs/libopenvino_paddle_frontend.so* \
    openvino/libs/libopenvino_tensorflow_frontend.so* \
    openvino/libs/libopenvino_tensorflow_lite_frontend.so*

FROM dependencies AS code
COPY pyproject.toml README.md ./
COPY app app
# The wheel carries the models; readable whatever the umask of the checkout was.
COPY --chmod=755 models models
RUN --mount=type=cache,target=/root/.cache/uv \
    uv pip install --no-deps --target /opt/inkblot .

FROM python:${PYTHON}
RUN useradd --uid 10001 --user-group --home-dir /var/lib/inkblot --create-home --skel /nonexistent \
    --shell /usr/sbin/nologin inkblot
COPY --from=dependencies /opt/venv /opt/venv
COPY --from=code /opt/inkblot /opt/inkblot
ENV PATH=/opt/inkblot/bin:/opt/venv/bin:$PATH \
    PYTHONPATH=/opt/inkblot \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    INKBLOT_HOST=0.0.0.0 \
    INKBLOT_DATA_DIR=/var/lib/inkblot
USER 10001:10001
WORKDIR /var/lib/inkblot
EXPOSE 8000
# Without the proxies that the environment may name; loading the model for the first time can take half a minute.
HEALTHCHECK --interval=10s --timeout=5s --start-period=2m \
    CMD ["python", "-c", "import os, urllib.request as r; r.build_opener(r.ProxyHandler({})).open(f\"http://127.0.0.1:{os.environ.get('INKBLOT_PORT') or 8000}/readyz\", timeout=4)"]
CMD ["inkblot", "serve"]

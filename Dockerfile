# FPC Explorer in one image.   CPU:  docker build -t fpc-explorer .
#                              CUDA: docker build -t fpc-explorer:cuda --build-arg TORCH_INDEX=https://pypi.org/simple .
# then                         docker run --rm -p 8501:8501 fpc-explorer        (CUDA: add --gpus all)
FROM python:3.11-slim

# torch's own index has builds without CUDA; those of PyPI bring CUDA along.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

COPY packages.txt /tmp/packages.txt
RUN apt-get update \
    && xargs -a /tmp/packages.txt apt-get install -y --no-install-recommends \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 fpc \
    && install -d -o fpc /results
WORKDIR /home/fpc/app

COPY requirements.txt .
RUN pip install --no-cache-dir --index-url "$TORCH_INDEX" --extra-index-url https://pypi.org/simple \
        $(grep -oE '^torch(vision)?==[0-9.]+' requirements.txt) \
    && pip install --no-cache-dir -r requirements.txt

COPY --chown=fpc . .
USER fpc
# Encodes the demo's gallery and compiles the transport kernel now instead of at the first visitor's search.
RUN python -m fpc_core memory build && python -m fpc_core doctor

EXPOSE 8501
# Fewer places from which threads take memory: 200 MB less with fifty visitors (benchmarks/README.md).
ENV STREAMLIT_SERVER_ADDRESS=0.0.0.0 STREAMLIT_SERVER_PORT=8501 MALLOC_ARENA_MAX=2
HEALTHCHECK --start-period=30s CMD python -c "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ['STREAMLIT_SERVER_PORT'] + '/_stcore/health', timeout=5)"
CMD ["python", "-m", "streamlit", "run", "streamlit_app.py"]

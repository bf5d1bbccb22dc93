# harmonium as a command: docker build -t harmonium . && docker run --rm -v "$PWD:/data" harmonium --help
ARG PYTHON=3.12
FROM python:${PYTHON}-slim AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE llms.txt ./
COPY requirements requirements
COPY docs docs
COPY src src
RUN python -m venv /opt/harmonium
RUN /opt/harmonium/bin/python -m pip install --no-cache-dir --require-hashes -r requirements/use.txt
RUN /opt/harmonium/bin/python -m pip wheel --no-cache-dir --no-deps --no-build-isolation -w dist .
RUN /opt/harmonium/bin/python -m pip install --no-cache-dir --no-deps dist/*.whl

FROM python:${PYTHON}-slim
RUN useradd --create-home --uid 10001 harmonium
COPY --from=build /opt/harmonium /opt/harmonium
ENV PATH=/opt/harmonium/bin:$PATH
USER 10001
WORKDIR /data
ENTRYPOINT ["harmonium"]

# The finger service of examples/finger, on PostgreSQL: docker-compose.yml runs it.
#
# Where its database is, libpq's own variables say: PGHOST, PGUSER, PGDATABASE, PGPASSWORD or PGPASSFILE. So there is no
# password in the image or in a command line, and none has to be quoted for a URL.

FROM python:3.13-slim AS build

# The bytecode that pip writes goes with it: whoever runs the service may not write any.
COPY pyproject.toml README.md LICENSE /src/
COPY netcore /src/netcore
COPY asyncdb /src/asyncdb
RUN python -m venv --without-pip /opt/finger \
 && pip --python /opt/finger/bin/python install --no-cache-dir '/src[postgres]'

# The examples are no part of the wheel.
COPY examples/finger /app/examples/finger
RUN python -m compileall -q /app


FROM python:3.13-slim

COPY --from=build /opt/finger /opt/finger
COPY --from=build /app /app

# Without uvloop: an answer takes as long as the database does, whatever the loop.
ENV PATH=/opt/finger/bin:$PATH \
    PYTHONUNBUFFERED=1

WORKDIR /app
USER 10001:10001
EXPOSE 7979

# A real question, all the way to the database; about one name, because the list of who is on grows with the people.
# That the database is not available is an answer, and does not count against the service: starting it again would help
# nobody, would cut off those who are being told, and it finds the database again by itself. What does count is that no
# answer comes. The time-out leaves room for the answer of an outage (limits.py) on a machine so busy that Python needs
# seconds to start. Asking costs half a second of a processor, most of it for imports: hence the interval.
HEALTHCHECK --interval=20s --timeout=20s --start-period=20s --retries=3 \
    CMD ["python", "-m", "examples.finger", "finger", "healthcheck@127.0.0.1:7979"]

# Without a shell, SIGTERM reaches the service: it stops listening, closes its connections and ends with status 0.
CMD ["python", "-m", "examples.finger", "serve", "--interface", "0.0.0.0", "--db", "postgresql://"]

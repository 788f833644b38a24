#!/usr/bin/env python3
"""An agent job runner beside overnight: fills the backlog, and hears what became of it.

    pip install pika psycopg[binary]
    DATABASE_URL=postgres://... QUEUE_URL=amqp://... ./agent_runner.py fill 'issues/*.json' --agent-type planner
    DATABASE_URL=postgres://... QUEUE_URL=amqp://... ./agent_runner.py listen --expect 36

`fill` writes pending rows into `tasks`. `listen` consumes `overnight.agent` and counts each task once: events come at
least once, so `id` and `source` tell a repetition. `work` is the live runner: it takes pending tasks one by one, with the
same compare-and-set that the night uses, so that each task is run by one of the two.
"""

import argparse
import glob
import json
import os
import sys
import time
import uuid
from datetime import datetime, timezone


def database():
    import psycopg

    return psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)


def fill(arguments):
    """Writes a pending task for every issue file."""
    files = sorted(glob.glob(arguments.pattern))
    if not files:
        sys.exit(f"no file matches {arguments.pattern}")
    now = datetime.now(timezone.utc)
    with database() as connection, connection.cursor() as cursor:
        for path in files:
            with open(path, encoding="utf-8") as file:
                payload = file.read()
            issue = json.loads(payload)
            repo = f"{issue['org']}/{issue['repo']}"
            cursor.execute(
                "INSERT INTO tasks (id, repo, agent_type, status, priority, payload, created_at, updated_at)"
                " VALUES (%s, %s, %s, 'pending', 0, %s, %s, %s)",
                (str(uuid.uuid4()), repo, arguments.agent_type, payload, now, now),
            )
    print(f"{len(files)} tasks are pending")


def work(arguments):
    """Runs pending tasks now, until none is left: whoever sets the status first has the task."""
    taken = 0
    with database() as connection, connection.cursor() as cursor:
        while True:
            cursor.execute(
                "UPDATE tasks SET status = 'running', updated_at = now() WHERE id = ("
                " SELECT id FROM tasks WHERE status = 'pending' ORDER BY priority DESC, created_at"
                " LIMIT 1 FOR UPDATE SKIP LOCKED) AND status = 'pending' RETURNING id"
            )
            row = cursor.fetchone()
            if row is None:
                break
            time.sleep(arguments.pause)
            cursor.execute(
                "UPDATE tasks SET status = 'completed', result = '{}', updated_at = now()"
                " WHERE id = %s AND status = 'running'",
                row,
            )
            if cursor.rowcount == 1:
                taken += 1
            else:
                print(f"task {row[0]} was taken away while it ran; its answer is dropped", file=sys.stderr)
    print(f"{taken} tasks were run by the live runner")


def deliveries(queue):
    """What arrives, and None for every second in which nothing does; over any number of connections."""
    import pika
    from pika.exceptions import AMQPError

    while True:
        try:
            connection = pika.BlockingConnection(pika.URLParameters(os.environ["QUEUE_URL"]))
            channel = connection.channel()
            channel.basic_qos(prefetch_count=100)
            for method, _properties, body in channel.consume(queue, inactivity_timeout=1):
                if method is None and not channel.consumer_tags:
                    break  # the queue was deleted under us
                yield body
                if method is not None:
                    channel.basic_ack(method.delivery_tag)
            connection.close()
        except (AMQPError, OSError):
            # The broker is away, or the queue is: it is made again by whoever publishes to it.
            yield None
            time.sleep(1)


def listen(arguments):
    """Counts task.completed events until as many distinct ones are heard as are expected, and a little longer: there
    must be no other."""
    heard, tasks, outcomes, events, repeated = set(), set(), {}, 0, 0
    deadline = time.monotonic() + arguments.timeout
    quiet = None
    for body in deliveries(f"{arguments.prefix}.agent"):
        if body is not None:
            event = json.loads(body)
            key = (event["source"], event["id"])
            if key in heard:
                repeated += 1
            elif event["type"] == "dev.overnight.task.completed.v1":
                data = event["data"]
                events += 1
                tasks.add(data["task_id"])
                outcomes[data["outcome"]] = outcomes.get(data["outcome"], 0) + 1
            heard.add(key)
        if arguments.expect and events >= arguments.expect and quiet is None:
            quiet = time.monotonic() + 3
        if time.monotonic() > min(quiet or deadline, deadline):
            break
    print(json.dumps({"tasks": len(tasks), "events": events, "outcomes": outcomes, "repeated_events": repeated}))
    if arguments.expect and (events, len(tasks)) != (arguments.expect, arguments.expect):
        sys.exit(f"{events} events of {len(tasks)} tasks, not {arguments.expect}, were heard in {arguments.timeout} s")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("fill", help="write pending tasks")
    command.add_argument("pattern")
    command.add_argument("--agent-type", default="planner")
    command.set_defaults(run=fill)
    command = commands.add_parser("work", help="run pending tasks now")
    command.add_argument("--pause", type=float, default=0, help="seconds that a task takes")
    command.set_defaults(run=work)
    command = commands.add_parser("listen", help="hear what became of tasks")
    command.add_argument("--expect", type=int, help="stop once so many tasks are heard of")
    command.add_argument("--timeout", type=float, default=600, help="seconds")
    command.add_argument("--prefix", default="overnight", help="as QUEUE_PREFIX")
    command.set_defaults(run=listen)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()

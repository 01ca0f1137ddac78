"""A Celery app whose task ids are UUIDs of version 7, which sort by time.

    celery --app celery_task_ids worker
    python recipes/celery_task_ids.py

The second command runs tasks in its own process and prints their ids. Celery has no
setting for the function that makes ids. So all tasks of the app get a class (`task_cls`)
whose `apply_async` passes the documented argument `task_id`. This works for `delay`,
`apply_async` and `celery beat`. It does not work for groups, chains and chords, which make
the ids before they call `apply_async`, and for `send_task`, which uses no class: these ids
are still Celery's, from `os.urandom`.
"""

import os
import sys

from celery import Celery, Task

import fork_safe_uuid


class Task7(Task):
    def apply_async(self, args=None, kwargs=None, task_id=None, **options):
        task_id = task_id or str(fork_safe_uuid.uuid7())
        return super().apply_async(args, kwargs, task_id=task_id, **options)


app = Celery("recipe", task_cls=Task7, broker=os.environ.get("BROKER", "memory://"))
app.conf.result_backend = os.environ.get("RESULTS", "cache+memory://")


@app.task
def add(x, y):
    return x + y


def main() -> None:
    app.conf.task_always_eager = True
    results = [add.delay(1, 2) for _ in range(3)] + [add.apply_async((1, 2))]
    ids = [result.id for result in results]
    print("\n".join(ids))
    in_order = ids == sorted(ids) and all(one[14] == "7" for one in ids)
    print("sorted by time:", in_order)
    if not in_order:
        sys.exit(1)


if __name__ == "__main__":
    main()

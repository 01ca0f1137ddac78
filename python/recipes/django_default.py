"""A Django model whose primary keys are UUIDs of version 7.

    python recipes/django_default.py

This makes an app with a migration and a table in memory, and saves three rows. Your own
project needs only the class `Order` and the import of `fork_safe_uuid`.
"""

import sys

import django
from django.conf import settings

settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
)
django.setup()

from django.db import connection, models  # noqa: E402  (Django is configured first)

import fork_safe_uuid  # noqa: E402


class Order(models.Model):
    # The function, not a call of it, so that each row gets another UUID.
    id = models.UUIDField(primary_key=True, default=fork_safe_uuid.uuid7, editable=False)

    class Meta:
        app_label = "recipe"


def main() -> None:
    from django.db.migrations.writer import MigrationWriter

    print("default in a migration:", MigrationWriter.serialize(fork_safe_uuid.uuid7)[0])
    with connection.schema_editor() as editor:
        editor.create_model(Order)
    made = [Order.objects.create().id for _ in range(3)]
    stored = list(Order.objects.order_by("id").values_list("id", flat=True))
    print("rows are in the order of creation:", stored == made)
    if stored != made:
        sys.exit(1)


if __name__ == "__main__":
    main()

"""The outbox's table."""

from django.db import migrations, models

import django_outbox.models


class Migration(migrations.Migration):
    """Make the table."""

    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel(
            name="Outgoing",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("key", models.CharField(default=django_outbox.models._key, max_length=32)),
                ("call", models.JSONField()),
                ("problem", models.TextField(null=True)),
            ],
            options={"db_table": "worthit_outbox"},
        ),
    ]

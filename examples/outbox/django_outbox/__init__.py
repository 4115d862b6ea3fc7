"""An outbox for Django: copy this folder as an application, and add it to INSTALLED_APPS.

    with transaction.atomic():
        order.save()
        enqueue("jobs.mail.send_receipt", order.number, retry=3)  # sent if, and only if, this is committed

`python manage.py relay_outbox` runs the relay: as many processes as you like.
"""

"""The business jobs. Put your own here, one file or folder per job.

A job is a plain function. It answers something JSON can carry, declares its policy with
`worker.retry.with_policy`, and uses `worker.context.current()` for progress, cache and settings; it never
touches Redis. The worker's own are `notifications.notify` (alerts and callbacks), `delivery.deliver` (how another
job ended) and `probe.echo` (to try a deployment); `urls` and `responses` serve them. A producer may call any function
of this package, so none of them may take a security decision from its arguments.
"""
